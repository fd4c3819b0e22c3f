"""The main job's bar under other samplers: 1,000 ancestral steps, 50 of DDIM, 10 tuned evaluations, and the default.

    reverie train digits --out RUN
    cp -r RUN TUNED && reverie tune TUNED --steps 10
    python -m benchmarks.digits_samplers RUN TUNED        writes benchmarks/results/digits_samplers.json

The bar: of 1,000 class-conditional samples at least 95 % have the label that was asked for, no class under 88 %.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.main_job import digits
from reverie.samplers import Ancestral, Angle, Ddim, Uniform
from reverie.training.folder import environment
from reverie.training.model import Model, load

RESULT = Path(__file__).parent / "results" / "digits_samplers.json"
WHOLE, EACH = 0.95, 0.88


def measured(label: str, model: Model, how: dict[str, Any]) -> dict[str, Any]:
    start = time.process_time()
    result = digits(model, **how)
    by_class = result["by_class"]
    assert isinstance(by_class, list)
    assert isinstance(result["accuracy"], float)
    chosen = model.walk(1, **how)
    row = {
        "walk": label,
        "sampler": repr(chosen.sampler),
        "steps": len(chosen.times) - 1,
        "accuracy": result["accuracy"],
        "worst_class": min(by_class),
        "by_class": by_class,
        "near_copies": result["near_copies_samples"],
        "meets_the_bar": result["accuracy"] >= WHOLE and min(by_class) >= EACH,
        "processor_seconds": round(time.process_time() - start, 1),
    }
    print(
        f"{label:28s} {row['accuracy']:.3f}  worst class {row['worst_class']:.2f}  {row['processor_seconds']} s",
        flush=True,
    )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run of digits")
    parser.add_argument("tuned", help="the same, tuned to 10 evaluations")
    chosen = parser.parse_args()
    model, tuned = load(chosen.run), load(chosen.tuned)
    rows = [
        measured("default, 20 steps", model, {"steps": 20}),
        measured("tuned, 10 evaluations", tuned, {"steps": None}),
        measured("untuned, 10 steps", model, {"steps": 10}),
        measured("DDIM, 50 steps", model, {"sampler": Ddim(), "grid": Angle(), "steps": 50}),
        measured("ancestral, 1000 steps", model, {"sampler": Ancestral(), "grid": Uniform(), "steps": 1000}),
    ]
    made = {key: value for key, value in environment().items() if key != "command"}
    RESULT.write_text(
        json.dumps({"environment": made, "bar": {"all": WHOLE, "class": EACH}, "walks": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
