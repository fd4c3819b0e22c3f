"""The length of the weights' average, chosen after training.

Two power-function averages are kept beside the run's own and written out at intervals. Each snapshot i is an average of
the weights under the profile p_i(τ) = (γ_i + 1) τ^γ_i / t_i^(γ_i + 1); an average of any other length is their sum that
is nearest to its profile p:
    x = argmin ‖p − Σ_i x_i p_i‖²:   A x = b,   A_ij = ⟨p_i, p_j⟩,   b_i = ⟨p_i, p⟩,   θ̂ = Σ_i x_i θ̂_i
Reference: Karras et al. 2024, arXiv:2312.02696, section 3.2 and algorithm 3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from reverie.core import files, modelfile
from reverie.core.errors import UserError
from reverie.training.ema import Average, exponent

WIDTHS = (0.05, 0.1)
FOLDER, NAME = "snapshots", re.compile(r"step-(\d{8,18})\.safetensors")
CANDIDATES = (0.02, 0.035, 0.05, 0.07, 0.1, 0.14, 0.2)
LOOSE = 0.1  # share of a profile that snapshots may miss


class Tracks:
    """Averages of a module's weights beside the run's own, one for each of WIDTHS; none unless they are wanted."""

    def __init__(self, module: nn.Module, *, wanted: bool) -> None:
        self.averages = {f"average-{width:g}": Average(module, width) for width in WIDTHS if wanted}

    def update(self, step: int) -> None:
        """Take in the weights after update `step` (1, 2, …)."""
        for average in self.averages.values():
            average.update(step)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a resume point keeps, by group."""
        return {name: average.module.state_dict() for name, average in self.averages.items()}

    def restore(self, saved: Mapping[str, dict[str, Tensor]]) -> None:
        """Go on from a resume point."""
        for name, average in self.averages.items():
            average.module.load_state_dict(saved[name])

    def write(self, run: Path, step: int) -> None:
        """One file with all averages, `snapshots/step-N.safetensors`: whole or not at all."""
        files.make_folder(run / FOLDER)
        named = {
            f"{average.width:g}/{name}": parameter.detach()
            for average in self.averages.values()
            for name, parameter in average.module.named_parameters()
        }
        files.write_file(run / FOLDER / f"step-{step:08d}.safetensors", modelfile.save_tensors(named))


def forget_after(run: Path, step: int) -> None:
    """Remove snapshots of a later past that this run left."""
    for later, path in found(run):
        if later > step:
            path.unlink()


def found(run: Path) -> list[tuple[int, Path]]:
    """(step, file) of each snapshot, oldest first."""
    folder = run / FOLDER
    names = sorted(folder.iterdir()) if folder.is_dir() else []
    return [(int(match[1]), path) for path in names if (match := NAME.fullmatch(path.name))]


@dataclass(frozen=True)
class Profile:
    """(γ + 1) τ^γ / t^(γ + 1) on [0, t]: what an average after t updates holds of each."""

    step: float
    gamma: float

    def dot(self, other: Profile) -> float:
        """∫ p q = (γ_p + 1)(γ_q + 1)/(γ_p + γ_q + 1) · (s/t)^γ_t / t for the earlier end s and the later t."""
        early, late = sorted((self, other), key=lambda p: p.step)
        power = (early.gamma + 1) * (late.gamma + 1) / (early.gamma + late.gamma + 1)
        return power * (early.step / late.step) ** late.gamma / late.step


def coefficients(profiles: Sequence[Profile], target: Profile) -> tuple[Tensor, float]:
    """x with Σ x = 1, and ‖p − Σ x_i p_i‖/‖p‖, the share of the wanted profile that is missed."""
    gram = torch.tensor([[p.dot(q) for q in profiles] for p in profiles], dtype=torch.float64)
    side = torch.tensor([p.dot(target) for p in profiles], dtype=torch.float64)
    scale = gram.diagonal().rsqrt()  # profiles of unit norm: the squares of early and late ones differ by orders
    scaled = torch.linalg.lstsq(scale[:, None] * gram * scale, (scale * side)[:, None], driver="gelsd")
    x = scale * scaled.solution[:, 0]
    x /= x.sum()
    missed = (target.dot(target) - 2 * x @ side + x @ gram @ x).clamp(min=0).sqrt()
    return x, float(missed) / target.dot(target) ** 0.5


def reachable(run: Path, widths: Sequence[float] = CANDIDATES) -> list[float]:
    """Those of the widths that the run's snapshots come near to."""
    return [width for width in widths if _shares(run, width)[1] <= LOOSE]


def reconstruct(run: Path, width: float) -> tuple[dict[str, Tensor], float]:
    """The parameters averaged with this width up to the last snapshot, and the share of its profile that is missed.

    Raises UserError where there are no snapshots, or none that come near such an average.
    """
    x, missed = _shares(run, width)
    kept = found(run)
    if missed > LOOSE:
        near = ", ".join(f"{w:g}" for w in reachable(run))
        raise UserError(
            f"the {len(kept)} snapshots of '{run}' miss {missed:.0%} of an average of width {width:g}; they make {near}"
        )
    total: dict[str, Tensor] = {}
    for share, (path, own) in zip(x.tolist(), ((path, own) for _, path in kept for own in WIDTHS), strict=True):
        prefix = f"{own:g}/"
        for name, tensor in modelfile.load_tensors(path.read_bytes(), where=str(path)).items():
            if name.startswith(prefix):
                key = name.removeprefix(prefix)
                total[key] = total.get(key, torch.zeros_like(tensor, dtype=torch.float64)) + share * tensor.double()
    return total, missed


def _shares(run: Path, width: float) -> tuple[Tensor, float]:
    """The coefficients of a run's snapshots in an average up to the last of them. Raises UserError for none."""
    if not 0 < width < 0.28:
        raise UserError(f"--ema must be above 0 and below 0.28 of the run, not {width:g}")
    steps = [step for step, _ in found(run)]
    if not steps:
        raise UserError(f"'{run}' has no snapshots to average; train with --training.snapshots 8")
    profiles = [Profile(step, exponent(own)) for step in steps for own in WIDTHS]
    return coefficients(profiles, Profile(steps[-1], exponent(width)))
