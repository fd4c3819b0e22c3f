"""docs/benchmarks.md from the committed results: `python -m benchmarks.page` writes it, a test holds it up to date."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import measured

RESULTS = Path(__file__).parent / "results"
TEXT = Path(__file__).parent / "page.md"
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def read(name: str) -> dict[str, Any]:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def where(found: dict[str, Any]) -> str:
    """A line that says where a result was made."""
    if not found:
        return "Not measured yet."
    made = found["environment"]
    peers = "".join(f", {name} {version}" for name, version in made.get("peers", {}).items())
    return (
        f"`{made['command']}`: {made['model']} ({made['processor']}), {made['threads']} of {made['cores']} threads, "
        f"torch {made['torch']}{peers}."
    )


def train_step() -> str:
    """Images a second of every side, with its ratio to ours, on each kind of processor."""
    return "\n\n".join(sides(found) for found in measured("train_step")) or where({})


def sides(found: dict[str, Any]) -> str:
    rows = []
    for size, sides in found.get("sizes", {}).items():
        ours = sides["reverie"]["images_per_second"]
        for side, row in sides.items():
            counted = f"{row['turns_that_count']} of {len(row['foreign_load'])}"
            ratio = "" if side == "reverie" else f"{ours / row['images_per_second']:.1f}×"
            rate = f"{row['images_per_second']:.0f} ({row['lowest']:.0f} to {row['highest']:.0f})"
            rows.append([size, side, f"{row['parameters']:,}", rate, ratio, row["seconds_to_start"], counted])
    head = ["size", "side", "weights", "images/s (range)", "ours is faster by", "seconds to start", "calm turns"]
    return table(head, rows) + "\n\n" + where(found)


# The convolutions of `step_parts`' network by level, with their share of its operations.
OWN = [("96 channels, 16×16", 0.44), ("192 channels, 8×8", 0.44), ("288 channels, 4×4", 0.12)]


def attainable(rates: dict[str, float]) -> float:
    """The rate of all of them one after the other, GFLOP/s."""
    return 1 / sum(share / rates[name] for name, share in OWN)


def step_parts() -> str:
    """The share of the peak, and where the time goes, on each kind of processor."""
    return "\n\n".join(map(shares, measured("step_parts"))) or where({})


def shares(found: dict[str, Any]) -> str:
    whole = sum(found["milliseconds"].values())
    rows = [[part, ms, f"{ms / whole:.0%}"] for part, ms in found["milliseconds"].items()]
    reached, peak, own = found["gigaflops_per_second"], found["convolution_peak"], attainable(found["convolutions"])
    sizes = ", ".join(name for name, _ in OWN)
    said = (
        f"{found['precision']}, {reached} GFLOP/s at {found['images_per_second']:.0f} images/s: {reached / peak:.0%} "
        f"of {peak} GFLOP/s, the best that convolutions alone reach, and {reached / own:.0%} of {own:.0f}, what they "
        f"reach at the network's own sizes ({sizes})."
    )
    return said + "\n\n" + table(["part of a step", "milliseconds", "share"], rows) + "\n\n" + where(found)


def time_to_quality() -> str:
    """Distances by data, side and length, on each kind of processor."""
    found = read("time_to_quality")
    head = ["data", "side", "training, s", "updates", "evaluations", "samples", "distance", "sampling, s"]
    said = []
    for processor, precision in dict.fromkeys((row["processor"], row["precision"]) for row in found.get("rows", [])):
        own = [row for row in found["rows"] if (row["processor"], row["precision"]) == (processor, precision)]
        rows = [
            [
                row["data"], row["side"], f"{row['seconds']:g}", f"{row['updates']:,}", row["evaluations"],
                f"{row['samples']:,}", f"{row['distance']:.1f}", row["sampling_seconds"],
            ]
            for row in sorted(own, key=lambda r: (r["data"], r["side"], r["seconds"], r["evaluations"]))
        ]  # fmt: skip
        said += [f"{processor}, {precision}:", table(head, rows)]
    return "\n\n".join([*said, f"The last of these runs: {where(found)}"])


def ablations(kind: str) -> str:
    """Rows of the recipe or of the network."""
    from benchmarks.ablations import BASE, NETWORKS, RECIPE

    found = read("ablations")
    wanted = {BASE, *(NETWORKS if kind == "network" else RECIPE)}
    rows = [row for row in found.get("rows", []) if row["name"] in wanted]
    if not rows:
        return "Not measured yet."
    cells = [
        [
            row["name"], f"{row['parameters']:,}", round(row["flops"] / 1e6), row["images_per_core_second"],
            f"{row['updates']:,}", row["core_seconds"], f"**{row['distance']}**",
        ]
        for row in rows
    ]  # fmt: skip
    head = ["variant", "weights", "MFLOP", "images per core second", "updates", "core seconds", "distance"]
    return table(head, cells) + "\n\n" + where(found)


def likelihood() -> str:
    found = read("likelihood")
    rows = [
        [
            row["method"], f"{row['bias']:.3f} ± {row['error_of_bias']:.3f}", f"{row['spread']:.3f}",
            f"{row['evaluations']:g}", row["microseconds"],
        ]
        for row in found.get("rows", [])
    ]  # fmt: skip
    head = ["method", "bias, nats", "spread, nats", "evaluations", "µs an example"]
    return table(head, rows) + "\n\n" + where(found)


def scaling() -> str:
    found = read("scaling")
    rows = [
        [
            part["quantity"],
            ", ".join(f"{size}: {ms:g}" for size, ms in part["milliseconds"].items()),
            part["exponent"],
        ]
        for part in found.get("tables", [])
    ]
    processes = [[row["processes"], row["images_per_second"]] for row in found.get("processes", [])]
    tables = table(["quantity", "milliseconds a call by size", "exponent at the end"], rows)
    return tables + "\n\n" + table(["processes of one thread", "images/s"], processes) + "\n\n" + where(found)


def sampling() -> str:
    """Bookkeeping in microseconds a step and an evaluation, and as a share of the network's time."""
    found = read("sampling")
    if not found:
        return where(found)
    rows = [
        [
            f"`{row['sampler']}`", f"{row['evaluations']:.1f}", f"{row['batch_1']:.0f}",
            f"{row['batch_1_per_evaluation']:.0f}", f"{row['batch_64']:.0f}", f"{row['share_at_64']:.2%}",
        ]
        for row in found["summary"]
    ]  # fmt: skip
    head = ["sampler", "evaluations a step", "batch 1: µs a step", "µs an evaluation", "batch 64: µs a step", "share"]
    unet = found["network_at_batch_64"]
    said = (
        f"The share is of an evaluation of the network ({unet['parameters'] / 1e6:.1f} M weights, batch 64): "
        f"{unet['milliseconds']:.1f} ms, both on {unet['threads']} threads. Other programs took "
        f"{found['foreign_share_of_busy_time']:.0%} of the machine's busy time."
    )
    return table(head, rows) + "\n\n" + said


# What a row of models side by side may say: its key, the column's head, and how it is written.
COLUMNS = (
    ("numbers", "numbers", "{:,}"),
    ("parameters", "weights", "{:,}"),
    ("core_seconds", "training, core s", "{:.0f}"),
    ("bits_per_dim", "bits per dimension", "{:.3f}"),
    ("frechet", "Fréchet distance", "{:.1f}"),
    ("precision", "precision", "{:.2f}"),
    ("coverage", "coverage", "{:.2f}"),
    ("uneven", "KL of classes, nats", "{:.3f}"),
    ("ms_per_sample", "ms a sample", "{:.2f}"),
    ("steps", "steps", "{}"),
    ("ms_per_step", "ms a step", "{:.3f}"),
)
NAMED = {
    "floor": "training pictures",
    "pixel": "diffusion of pixels",
    "vae": "autoencoder alone",
    "latent": "diffusion of its codes",
    "gaussian": "Gaussian noise",
    "blur": "blurring and noise",
    "gan-4": "four steps",
    "gan-1": "one step (a plain GAN)",
}


def side_by_side(found: dict[str, Any]) -> str:
    """A row for each model, a column for what any of them says; errors where they are known."""
    models: dict[str, dict[str, Any]] = found.get("models", {})
    columns = [column for column in COLUMNS if any(column[0] in row for row in models.values())]
    errors = {"bits_per_dim": "error", "frechet": "frechet_error"}

    def cell(row: dict[str, Any], key: str, form: str) -> str:
        said = form.format(row[key]) if key in row else ""
        return f"{said} ± {form.format(row[errors[key]])}" if said and errors.get(key) in row else said

    rows = [[NAMED.get(k, k), *(cell(row, key, form) for key, _, form in columns)] for k, row in models.items()]
    return table(["", *(head for _, head, _ in columns)], rows)


def pictures(kind: str) -> str:
    """Models side by side on every set of pictures that has been measured."""
    said = []
    for file in sorted(RESULTS.glob(f"{kind}_*.json")):
        found = read(file.stem)
        head = f"`{file.stem.removeprefix(f'{kind}_')}`, {found['updates']:,} updates"
        said.append("\n\n".join((head, side_by_side(found), where(found))))
    return "\n\n".join(said) or where({})


def gan_modes() -> str:
    """The mixture's modes by steps and seed."""
    found = read("gan_modes")
    rows = [
        [row["steps"], row["seed"], f"{row['kept']:.0f} of 8", f"{row['good']:.1%}", f"{row['uneven']:.3f}"]
        for row in found.get("rows", [])
    ]
    head = ["steps", "seed", "modes kept", "samples near a mode", "KL of shares, nats"]
    return table(head, rows) + "\n\n" + where(found)


PARTS = {
    "train_step": train_step,
    "step_parts": step_parts,
    "time_to_quality": time_to_quality,
    "recipe": lambda: ablations("recipe"),
    "networks": lambda: ablations("network"),
    "likelihood": likelihood,
    "scaling": scaling,
    "sampling": sampling,
    "vae": lambda: pictures("vae"),
    "blur": lambda: pictures("blur"),
    "ddgan": lambda: pictures("ddgan"),
    "gan_modes": gan_modes,
}


def page() -> str:
    """The text with every `{{name}}` replaced by its tables."""
    text = TEXT.read_text(encoding="utf-8")
    for name, part in PARTS.items():
        text = text.replace("{{" + name + "}}", part())
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written: docs/{PAGE.name}")
