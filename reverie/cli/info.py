"""`reverie info PATH`: what a run, a checkpoint or a model is."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, cast

DESCRIPTION = "Say what a run, a checkpoint or a model is: its data, process, network, size, length and losses."


def add(verbs: Any) -> None:
    parser = verbs.add_parser("info", help="say what a run or model is", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("path", metavar="PATH", help="a run folder, a checkpoint or a model folder")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    facts = _facts(Path(arguments.path))
    if arguments.json:
        print(json.dumps(facts, indent=1, ensure_ascii=False))
        return 0
    table = Table.grid(padding=(0, 2))
    for name, value in ((name, value) for name, value in facts.items() if value is not None):
        table.add_row(f"[bold]{name}[/]", _text(value))
    Console(highlight=False, soft_wrap=True).print(table)
    return 0


def _facts(path: Path) -> dict[str, Any]:
    from reverie import networks
    from reverie.training.folder import RunFolder
    from reverie.training.model import load

    model = load(path)
    spec, config = model.spec, model.config
    facts: dict[str, Any] = {
        "data": {
            "name": spec.name,
            "kind": spec.kind,
            "shape": list(spec.shape),
            "dtype": spec.dtype,
            "format": spec.format,
        },
        "classes": list(spec.classes),
        "conditions": list(spec.conditions),
        "parameters": networks.parameters(model),
        "network FLOPs": networks.flops(cast(networks.Network, model.denoiser.network)),
    }
    facts |= {section: table for section, table in config.items() if section not in ("seed", "training")}
    facts |= {"seed": config["seed"], "training": config["training"], **model.summary}
    if (path / "run.json").is_file():
        metrics = RunFolder(path).metrics()
        held = [entry["held_out"] for entry in metrics if entry.get("held_out") is not None]
        losses = [entry["loss"] for entry in metrics if "loss" in entry]
        facts["last training loss"] = sum(losses[-50:]) / len(losses[-50:]) if losses else None
        facts["held-out losses"] = held
        facts["finished"] = (path / "model" / "config.json").is_file()
        facts["checkpoints"] = sorted(p.name for p in (path / "checkpoints").glob("step-*"))
    return facts


def _text(value: Any) -> str:
    if isinstance(value, dict):
        name = str(value.get("name", ""))
        rest = ", ".join(f"{k} {_text(v)}" for k, v in value.items() if k != "name" and v not in (None, ""))
        return f"{name} ({rest})" if name and rest else name or rest
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "unknown"}[value]
    return f"{value:,}" if isinstance(value, int) else f"{value:.5g}" if isinstance(value, float) else str(value)
