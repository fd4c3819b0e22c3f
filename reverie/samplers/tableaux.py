"""Runge–Kutta methods as data: Butcher's tableaux, and the pair of an adaptive method.

k_i = f(u + c_i h, z + h Σ_j a_ij k_j),   z⁺ = z + h Σ_i b_i k_i.
Reference: Hairer, Nørsett & Wanner 1993, "Solving Ordinary Differential Equations I", section II.1 and tables there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tableau:
    """Nodes c, rows a (strictly lower triangular), weights b, and the order; `error` is b minus the embedded weights.

    `finish` names the tableau for a step that ends at t = 0, where nothing can be evaluated: its nodes are inside the
    step, and its order at most one less, which a single step may have without changing the method's order.
    """

    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    order: int
    finish: str
    error: tuple[float, ...] = ()


TABLEAUX = {
    "euler": Tableau((0.0,), ((),), (1.0,), 1, "euler"),
    "midpoint": Tableau((0.0, 1 / 2), ((), (1 / 2,)), (0.0, 1.0), 2, "midpoint"),
    "ralston2": Tableau((0.0, 2 / 3), ((), (2 / 3,)), (1 / 4, 3 / 4), 2, "ralston2"),
    "heun2": Tableau((0.0, 1.0), ((), (1.0,)), (1 / 2, 1 / 2), 2, "ralston2"),
    "ralston3": Tableau((0.0, 1 / 2, 3 / 4), ((), (1 / 2,), (0.0, 3 / 4)), (2 / 9, 1 / 3, 4 / 9), 3, "ralston3"),
    "kutta3": Tableau((0.0, 1 / 2, 1.0), ((), (1 / 2,), (-1.0, 2.0)), (1 / 6, 2 / 3, 1 / 6), 3, "ralston3"),
    "kutta4": Tableau(
        (0.0, 1 / 2, 1 / 2, 1.0),
        ((), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)),
        (1 / 6, 1 / 3, 1 / 3, 1 / 6),
        4,
        "ralston3",
    ),
    "three-eighths": Tableau(
        (0.0, 1 / 3, 2 / 3, 1.0),
        ((), (1 / 3,), (-1 / 3, 1.0), (1.0, -1.0, 1.0)),
        (1 / 8, 3 / 8, 3 / 8, 1 / 8),
        4,
        "ralston3",
    ),
}

# Bogacki & Shampine 1989, 3(2), and Dormand & Prince 1980, 5(4); the last node is 1 and is the next step's first.
BOGACKI_SHAMPINE = Tableau(
    (0.0, 1 / 2, 3 / 4, 1.0),
    ((), (1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    (2 / 9, 1 / 3, 4 / 9, 0.0),
    3,
    "ralston3",
    (2 / 9 - 7 / 24, 1 / 3 - 1 / 4, 4 / 9 - 1 / 3, -1 / 8),
)
DORMAND_PRINCE = Tableau(
    (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0),
    (
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0.0),
    5,
    "ralston3",
    (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40),
)
