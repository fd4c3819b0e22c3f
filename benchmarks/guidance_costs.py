"""What each guidance costs: evaluations of the network, passes back through it, and milliseconds a step.

    python -m benchmarks.guidance_costs RUN CLASSIFIER [--rows 8]
Evaluations and passes back are counted, not declared. Milliseconds are a processor core's for one evaluation of the
guided denoiser on a batch, which is what a step of a first-order sampler costs: the least of several turns.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from reverie.denoisers import Condition, Denoiser
from reverie.guidance import (
    Auto,
    ClassifierFree,
    DirectPotential,
    Dps,
    Mask,
    MomentMatching,
    Observation,
    PiGdm,
    Potential,
    Product,
    Projection,
    Replacement,
    Smoothness,
)
from reverie.training.folder import environment
from reverie.training.guides import guide
from reverie.training.model import Model, load

RESULT = Path(__file__).parent / "results" / "guidance_costs.json"
ROUNDS = 9


def guided(model: Model, classifier: str) -> dict[str, Denoiser]:
    """Every guidance around one model, with its own options."""
    shape = tuple(model.spec.shape)
    mask, label = Mask.half(shape), Condition(torch.tensor([3]))
    seen = Observation(mask, torch.zeros(1, *shape), 0.05)
    return {
        "none": model.given(label),
        "cfg": ClassifierFree(model, scale=2.0).given(label),
        "auto": Auto(model, model.given(label), scale=2.0),
        "product of 2 labels": Product.of_conditions(model, [label, Condition(torch.tensor([5]))]),
        "classifier": guide(f"classifier:{classifier}", model, label="3").wrap(model),
        "potential": Potential(model, Smoothness()),
        "direct-potential": DirectPotential(model, Smoothness()),
        "replacement": Replacement(model, seen),
        "projection": Projection(model, seen),
        "dps": Dps(model, seen),
        "pi-gdm": PiGdm(model, seen),
        "moment-matching (3 iterations)": MomentMatching(model, seen),
    }


def counted(model: Model, denoiser: Denoiser, x: torch.Tensor) -> tuple[int, int]:
    """Evaluations of the model's network in one of the denoiser, and passes back through it."""
    found = [0, 0]

    def back(grad: torch.Tensor) -> None:
        found[1] += 1

    def forth(module: torch.nn.Module, given: Any, out: Any) -> None:
        found[0] += 1
        if isinstance(out, torch.Tensor) and out.requires_grad:
            out.register_hook(back)

    hook = model.denoiser.network.register_forward_hook(forth)
    with torch.inference_mode():
        _ = denoiser(x, 0.4).mean
    hook.remove()
    return found[0], found[1]


def timed(denoiser: Denoiser, x: torch.Tensor) -> float:
    with torch.inference_mode():
        began = time.process_time()
        _ = denoiser(x, 0.4).mean
        return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("classifier")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model = load(chosen.run)
    x = torch.randn(chosen.rows, *model.spec.shape, generator=torch.Generator().manual_seed(0))
    rows: list[dict[str, Any]] = []
    for name, denoiser in guided(model, chosen.classifier).items():
        forth, back = counted(model, denoiser, x)
        seconds = min(timed(denoiser, x) for _ in range(ROUNDS))
        rows.append({"guidance": name, "evaluations": forth, "back": back, "milliseconds": 1e3 * seconds})
        rows[-1]["times"] = rows[-1]["milliseconds"] / rows[0]["milliseconds"]
        print(rows[-1], flush=True)
    made = {key: value for key, value in environment().items() if key != "command"}
    told = {"environment": made, "data": model.spec.name, "rows": chosen.rows}
    chosen.out.write_text(json.dumps({**told, "costs": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
