"""One step of the probability-flow ODE with the denoiser's belief as a polynomial through its last values.

With λ = log(α/σ), ρ = e^λ and r = e^{−λ} the same ODE reads
    d(x/σ) = x̂_0 dρ        d(x/α) = ε̂ dr        dz = v̂ dθ,   z = x/√(α² + σ²), θ = atan(σ/α)
so a step is linear, x_s = a x_t + Σ_j w_j value_j, and its weights are *exact* integrals of Lagrange's polynomials:
in λ for x̂_0 and ε̂, in t for ε̂, in θ for v̂ = (z cos θ − x̂_0)/sin θ. The last is finite at both ends of time.
All functions take the nodes' times (the newest first, which is t) and return floats; they are cached.
References: Lu et al. 2022, arXiv:2206.00927 (ε̂, λ) and arXiv:2211.01095 (x̂_0, λ); Zhang & Chen 2023,
arXiv:2204.13902 (ε̂, t); Salimans & Ho 2022, arXiv:2202.00512, appendix D (v̂ and the angle).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import TypeAlias

from reverie.processes import Schedule

Weights: TypeAlias = tuple[float, tuple[float, ...]]
# Gauss–Legendre on [0, 1], 8 points: exact for polynomials of degree 15
_GAUSS = (
    (0.0198550717512319, 0.0506142681451881), (0.1016667612931866, 0.1111905172266872),
    (0.2372337950418355, 0.1568533229389437), (0.4082826787521751, 0.1813418916891810),
    (0.5917173212478249, 0.1813418916891810), (0.7627662049581645, 0.1568533229389437),
    (0.8983332387068134, 0.1111905172266872), (0.9801449282487681, 0.0506142681451881),
)  # fmt: skip


@functools.lru_cache(maxsize=16384)
def point(schedule: Schedule, t: float) -> tuple[float, float, float]:
    """(α, σ, λ) at t; λ = ∞ where σ = 0 and −∞ where α = 0."""
    return float(schedule.alpha(t)), float(schedule.sigma(t)), float(schedule.log_snr(t)) / 2


@functools.lru_cache(maxsize=16384)
def time_at(schedule: Schedule, half_log_snr: float) -> float:
    """The time at which log(α/σ) has this value."""
    return float(schedule.time_of(2 * half_log_snr))


def lagrange(nodes: Sequence[float]) -> list[list[float]]:
    """Coefficients, lowest power first, of the polynomials with L_j(node_i) = [i = j]."""
    rows = []
    for j, own in enumerate(nodes):
        row = [1.0]
        for i, other in enumerate(nodes):
            if i != j:
                shifted, scale = [0.0, *row], own - other
                row = [(a - other * b) / scale for a, b in zip(shifted, [*row, 0.0], strict=True)]
        rows.append(row)
    return rows


def growing_moments(h: float, count: int) -> list[float]:
    """G_k = ∫₀¹ h e^{h(w − 1)} wᵏ dw, k < count: G_0 = 1 − e^{−h}, G_k = 1 − (k/h) G_{k−1}; a series for small h."""
    if abs(h) > 2:
        moments = [-math.expm1(-h)]
        for k in range(1, count):
            moments.append(1 - k / h * moments[-1])
        return moments
    return [math.fsum(_term(h, j, k) for j in range(30)) for k in range(count)]


def _term(h: float, j: int, k: int) -> float:
    """∫₀¹ h (h(w − 1))ʲ/j! wᵏ dw = h (−h)ʲ k!/(k + j + 1)!."""
    return h * (-h) ** j * math.factorial(k) / math.factorial(k + j + 1)


def falling_moments(h: float, count: int) -> list[float]:
    """F_k = ∫₀¹ h e^{−hw} wᵏ dw, k < count: F_0 = 1 − e^{−h}, F_k = (k/h) F_{k−1} − e^{−h}; a series for small h."""
    if abs(h) > 2:
        moments = [-math.expm1(-h)]
        for k in range(1, count):
            moments.append(k / h * moments[-1] - math.exp(-h))
        return moments
    return [math.fsum(h * (-h) ** j / (math.factorial(j) * (j + k + 1)) for j in range(30)) for k in range(count)]


def _weights(moments: Sequence[float], nodes: Sequence[float], halved: bool) -> list[float]:
    """Σ_k moment_k times the k-th coefficient of each Lagrange polynomial; `halved` replaces G_1 by G_0/2."""
    if halved and len(nodes) == 2:
        moments = [moments[0], moments[0] / 2]
    return [math.fsum(c * m for c, m in zip(row, moments, strict=True)) for row in lagrange(nodes)]


@functools.lru_cache(maxsize=16384)
def data_weights(
    schedule: Schedule, nodes: tuple[float, ...], t: float, s: float, eta: float = 0.0, halved: bool = False
) -> tuple[float, tuple[float, ...], float]:
    """x_s = (σ_s/σ_t) e^{−η²h} x_t + α_s Σ w_j x̂_0(node j) + σ_s √(1 − e^{−2η²h}) z, h = λ_s − λ_t, H = (1 + η²) h.

    Σ w_j x̂_0 is the integral of H e^{H(w − 1)} P(w) over w = (λ − λ_t)/h in [0, 1].
    The family between ODE (η = 0) and reverse SDE (η = 1). Where σ_s = 0, P is the newest value.
    References: Lu et al. 2022, arXiv:2211.01095, equation 9; Xue et al. 2023, arXiv:2305.14267, equation 8.
    """
    (_, sigma_t, lambda_t), (alpha_s, sigma_s, lambda_s) = point(schedule, t), point(schedule, s)
    if sigma_s == 0:
        return 0.0, (alpha_s, *(0.0 for _ in nodes[1:])), 0.0
    if math.isinf(lambda_t):
        return (sigma_s / sigma_t, (alpha_s,), 0.0) if not eta else (0.0, (alpha_s,), sigma_s)
    h = lambda_s - lambda_t
    places = [(point(schedule, u)[2] - lambda_t) / h for u in nodes]
    weights = _weights(growing_moments((1 + eta**2) * h, len(nodes)), places, halved)
    noise = sigma_s * math.sqrt(-math.expm1(-2 * eta**2 * h))
    return sigma_s / sigma_t * math.exp(-(eta**2) * h), tuple(alpha_s * w for w in weights), noise


@functools.lru_cache(maxsize=16384)
def noise_weights(schedule: Schedule, nodes: tuple[float, ...], t: float, s: float, halved: bool = False) -> Weights:
    """x_s = (α_s/α_t) x_t − α_s r_t Σ w_j ε̂(node j), where Σ w_j ε̂ is the integral of h e^{−hw} P(w) over [0, 1].

    Reference: Lu et al. 2022, arXiv:2206.00927, equation 3.4.
    """
    (alpha_t, sigma_t, lambda_t), (alpha_s, _, lambda_s) = point(schedule, t), point(schedule, s)
    h = lambda_s - lambda_t
    if math.isinf(h):
        return alpha_s / alpha_t, (-alpha_s * sigma_t / alpha_t, *(0.0 for _ in nodes[1:]))
    places = [(point(schedule, u)[2] - lambda_t) / h for u in nodes]
    weights = _weights(falling_moments(h, len(nodes)), places, halved)
    return alpha_s / alpha_t, tuple(-alpha_s * sigma_t / alpha_t * w for w in weights)


@functools.lru_cache(maxsize=16384)
def time_weights(schedule: Schedule, nodes: tuple[float, ...], t: float, s: float) -> Weights:
    """x_s = (α_s/α_t) x_t + α_s Σ w_j ε̂(node j), w_j = ∫ L_j dr = [L_j r] − ∫ L_j′ r dτ from t to s, L_j in time.

    By parts, so that no derivative of r = σ/α is needed and the integral is exact to quadrature; s = 0 is no exception.
    Reference: Zhang & Chen 2023, arXiv:2204.13902, equation 15 (tAB-DEIS).
    """
    (alpha_t, _, _), (alpha_s, _, _) = point(schedule, t), point(schedule, s)

    def r(u: float) -> float:
        alpha, sigma, _ = point(schedule, u)
        return sigma / alpha

    weights = []
    pieces = [t + (s - t) * i / 4 for i in range(5)]
    for row in lagrange([(u - t) / (s - t) for u in nodes]):
        slope = [k * c for k, c in enumerate(row)][1:]
        ends = math.fsum(row) * r(s) - row[0] * r(t)
        inner = math.fsum(
            weight * (b - a) / (s - t) * r(u) * _value(slope, (u - t) / (s - t))
            for a, b in itertools.pairwise(pieces)
            for place, weight in _GAUSS
            for u in (a + (b - a) * place,)
        )
        weights.append(ends - inner)
    return alpha_s / alpha_t, tuple(alpha_s * w for w in weights)


def _value(coefficients: Sequence[float], x: float) -> float:
    return math.fsum(c * x**k for k, c in enumerate(coefficients))


@functools.lru_cache(maxsize=16384)
def angle(schedule: Schedule, t: float) -> tuple[float, float]:
    """θ = atan(σ/α) in [0, π/2] and the norm √(α² + σ²)."""
    alpha, sigma, _ = point(schedule, t)
    return math.atan2(sigma, alpha), math.hypot(alpha, sigma)


@functools.lru_cache(maxsize=16384)
def angle_weights(schedule: Schedule, nodes: tuple[float, ...], t: float, s: float) -> Weights:
    """x_s = (n_s/n_t) x_t + n_s Σ w_j v̂(node j), w_j = ∫ L_j dθ from θ_t to θ_s, n = √(α² + σ²)."""
    (theta_t, norm_t), (theta_s, norm_s) = angle(schedule, t), angle(schedule, s)
    h = theta_s - theta_t
    rows = lagrange([(angle(schedule, u)[0] - theta_t) / h for u in nodes])
    weights = tuple(norm_s * h * math.fsum(c / (k + 1) for k, c in enumerate(row)) for row in rows)
    return norm_s / norm_t, weights
