"""The main job's bars: do the digits have the labels asked for, and does the swiss roll lie on the swiss roll?

    python -m benchmarks.main_job RUN_OF_DIGITS [RUN_OF_SWISS_ROLL]
Labels are judged by a support-vector machine on the pixels, trained on the real digits. The energy distance (all
pairs counted, so never negative) of 2,000 samples to the held-out points is set beside its floor: that between two real
samples of the same sizes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC
from torch import Tensor

from reverie.data import open_data
from reverie.data.builtin import draw
from reverie.metrics import copy_shares, energy_distance
from reverie.samplers import Grid, Sampler
from reverie.training.folder import environment
from reverie.training.model import Model, load

RESULT = Path(__file__).parent / "results" / "main_job.json"
ROUNDS = 10  # pairs of real samples for the floor


def digits(
    model: Model, *, steps: int | None, sampler: Sampler | None = None, grid: Grid | None = None, per_class: int = 100
) -> dict[str, object]:
    """Label accuracy of class-conditional samples, by class, and near copies beside those of held-out images."""
    real, labels = load_digits(return_X_y=True)
    judge = SVC(gamma=0.001)
    unseen = float(cross_val_score(judge, real, labels, cv=5).mean())
    judge.fit(real, labels)
    count = 10 * per_class
    x = model.draw(count, label="each", steps=steps, sampler=sampler, grid=grid, seed=1)
    wanted = torch.arange(count) % 10
    right = torch.from_numpy(judge.predict(model.spec.scale.decode(x).double().flatten(1).numpy())).eq(wanted)
    data = open_data("digits")
    train, held = data.split(float(model.config["training"].get("holdout", 0.1)), int(model.config["seed"]))
    copies = copy_shares(x, data.rows(train), data.rows(held))
    return {
        "samples": count,
        "steps": steps,
        "accuracy": float(right.double().mean()),
        "by_class": [float(right[wanted == k].double().mean()) for k in range(10)],
        "judge_on_unseen_real": unseen,
        "near_copies_samples": copies.samples,
        "near_copies_held_out": copies.held_out,
        "updates": model.summary["steps"],
    }


def swiss_roll(model: Model) -> dict[str, object]:
    """The energy distance of samples to held-out points, in model units, and the floor between two real samples."""
    data = open_data("swiss-roll")
    held = data.rows(data.split(0.1, int(model.config["seed"]))[1])
    x = model.draw(len(held), seed=1)
    scale = model.spec.scale
    others = [scale.encode(draw("swiss-roll", len(held), seed=1000 + k)) for k in range(ROUNDS)]
    floor = sum(all_pairs(other, held) for other in others) / ROUNDS
    return {
        "samples": len(held),
        "energy_distance": all_pairs(x, held),
        "floor": floor,
        "ratio": all_pairs(x, held) / floor,
        "updates": model.summary["steps"],
    }


def all_pairs(x: Tensor, y: Tensor) -> float:
    """The energy distance as a V-statistic: pairs of a point with itself are counted."""
    own = sum(float(torch.cdist(a.double(), a.double()).sum()) / len(a) ** 2 / (len(a) - 1) for a in (x, y))
    return energy_distance(x, y) + own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("digits", help="a run of digits")
    parser.add_argument("swiss_roll", nargs="?", help="a run of swiss-roll")
    chosen = parser.parse_args()
    made = {key: value for key, value in environment().items() if key != "command"}
    result: dict[str, object] = {"environment": made, "digits": digits(load(chosen.digits), steps=20)}
    if chosen.swiss_roll:
        result["swiss_roll"] = swiss_roll(load(chosen.swiss_roll))
    text = json.dumps(result, indent=1)
    print(text)
    RESULT.write_text(text + "\n")


if __name__ == "__main__":
    main()
