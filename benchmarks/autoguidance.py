"""Whether a run is improved by steering away from its own beginning: distance to held-out images by scale.

    python -m benchmarks.autoguidance DATA RUN [--count 2000] [--scales 1.25 1.5 2]
Scale 1 is the run itself, with half the evaluations. The distance is the Fréchet distance of `benchmarks.evaluator`
(as many real images: 2.0); labels are judged by the same network. Every row has the same seed.
Reference: Karras et al. 2024, arXiv:2406.02507.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.evaluator import Evaluator
from reverie.data import open_data
from reverie.training.guides import Strength, guide
from reverie.training.model import earliest, load

RESULT = Path(__file__).parent / "results" / "autoguidance.json"


def measured(data: str, run: str, *, count: int, scales: list[float]) -> dict[str, Any]:
    """Updates of the run and of the checkpoint it is steered away from, and a row for every scale."""
    dataset, model = open_data(data), load(run)
    evaluator, wanted = Evaluator(dataset, count=count), model.labels(count, None)
    rows = []
    for scale in [1.0, *scales]:
        wrap = guide("auto", model, strength=Strength(scale=scale), run=run).wrap
        x = model.draw(count, wrap=wrap)
        row = {"scale": scale, "distance": evaluator.distance(x)}
        if wanted is not None:
            with torch.inference_mode():
                guess = evaluator.network.out(evaluator.features(x).float()).argmax(1)
            row["right"] = float(torch.eq(guess, wanted).double().mean())
        rows.append(row)
        print(row, flush=True)
    updates = {"updates": model.summary.get("steps"), "worse": earliest(run).summary["steps"]}
    return {**updates, "labels": len(model.spec.classes), "count": count, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a path or the name of a built-in set")
    parser.add_argument("run")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--scales", type=float, nargs="*", default=[1.25, 1.5, 2.0])
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    found = measured(chosen.data, chosen.run, count=chosen.count, scales=chosen.scales)
    told = json.loads(chosen.out.read_text()) if chosen.out.is_file() else []
    same = ("updates", "labels")
    told = [row for row in told if any(row[key] != found[key] for key in same)] + [found]
    chosen.out.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
