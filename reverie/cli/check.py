"""`reverie check DATA`: what training would read, what it would skip and why, how long it would take."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from reverie.cli import options
from reverie.core.errors import BAD_DATA

if TYPE_CHECKING:
    from reverie.data import Dataset

DESCRIPTION = """Read DATA as 'reverie train' would and say what is there: counts by type, size, mode and label, ranges,
duplicates, what cannot be read and why, a picture of what the network will see, and a forecast. Nothing is trained or
changed. The exit code is 0 if the data can be trained on, 65 or 2 if not."""
PROBED = 3  # updates timed for the forecast
SHEET = 64  # examples on the picture


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "check",
        help="say what is in your data before training",
        description=DESCRIPTION,
        allow_abbrev=False,
    )
    parser.add_argument("data", metavar="DATA", help="a path or the name of a built-in set")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    parser.add_argument(
        "--grid", metavar="FILE", help="where to draw what the network will see; 'none' for nowhere (NAME-check.png)"
    )
    parser.add_argument(
        "--no-forecast", action="store_true", help="do not build the network to measure time and memory"
    )
    options.add_reading(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from reverie.data import check

    finding = check.examine(arguments.data, **options.reading(arguments))
    extra: dict[str, Any] = {}
    if finding.data is not None:
        if arguments.grid != "none":
            extra["grid"] = _grid(finding.data, arguments.grid or f"{finding.data.spec.name}-check.png")
        if not arguments.no_forecast:
            extra["forecast"] = forecast(finding.data)
        extra["command"] = _command(arguments)
    if arguments.json:
        print(json.dumps({**check.to_json(finding), **extra}, ensure_ascii=False, indent=1))
    else:
        _print([*check.detailed(finding), *_rows(extra)])
    return 0 if finding.data is not None else finding.code or BAD_DATA


def _print(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    before = ""
    for name, value in rows:
        print(f"{name if name != before else '':<{width}}  {value}")
        before = name


def _grid(data: Dataset, path: str) -> str:
    """A sheet of training examples in the order of the data, evenly spaced."""
    from pathlib import Path

    import torch

    from reverie import pictures
    from reverie.core import files
    from reverie.data import is_picture
    from reverie.training import artefacts

    count = min(len(data), SHEET if is_picture(data.spec) else 2000)
    x = data.rows(torch.linspace(0, len(data) - 1, count).long())
    if data.spec.shape == (2,):
        picture = pictures.render(pictures.clouds({"data": data.spec.scale.decode(x).double().numpy()}))
    else:
        picture = artefacts.sheet(x, data.spec, x)
    files.write_file(Path(path), picture)
    return path


def forecast(data: Dataset) -> dict[str, Any]:
    """Time and memory of the training that 'reverie train' would choose, from a few updates done here and now."""
    import resource
    import time

    from reverie import networks
    from reverie.training.assemble import build_denoiser, build_loss
    from reverie.training.defaults import choose
    from reverie.training.distributed import World
    from reverie.training.pace import in_pace
    from reverie.training.recipe import training_options
    from reverie.training.run import Run

    train = data.split()[0]
    config = choose(data.spec, len(train), {})
    config = choose(data.spec, len(train), in_pace(config, {}, data.spec, data, world=World()))
    denoiser = build_denoiser(config, data.spec)
    networks.keep_memory()
    run = Run(denoiser, build_loss(config), data, training_options(config), seed=0, world=World())
    seconds = float("inf")
    for _ in range(PROBED):  # the first one also warms up
        begun = time.perf_counter()
        run.update()
        seconds = min(seconds, time.perf_counter() - begun)
        if seconds > 5:
            break
    minutes = float(config["training"]["minutes"])
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "parameters": networks.parameters(denoiser),
        "batch": run.options.batch,
        "seconds_per_update": round(seconds, 4),
        "minutes": minutes,
        "updates": int(60 * minutes / seconds),
        "passes": round(60 * minutes / seconds * run.options.batch / len(train), 2),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20),
        "device": str(World().device),
    }


def _rows(extra: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if "grid" in extra:
        rows.append(("picture", extra["grid"]))
    if "forecast" in extra:
        f = extra["forecast"]
        rows.append(
            (
                "forecast",
                f"{f['minutes']:g} minutes on {f['device']}: {f['updates']:,} updates of {f['batch']} examples, "
                f"{f['passes']:g} passes; {f['parameters']:,} parameters; {f['peak_memory_mib']:,} MiB of memory",
            )
        )
    return rows + ([("to train", extra["command"])] if "command" in extra else [])


def _command(arguments: argparse.Namespace) -> str:
    import shlex

    words = ["reverie", "train", arguments.data]
    for name, value in options.reading(arguments).items():
        words += [f"--{name}", str(value)]
    return shlex.join(words)
