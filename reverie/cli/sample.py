"""`reverie sample MODEL`: samples in the data's own form, a sheet to look at, and how to get them again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from reverie.cli import options, steering
from reverie.core import catalog
from reverie.core.errors import UserError, unknown

OWN = ("count", "label", "steps", "seed", "first", "out", "sampler", "device", "trajectory", "given", "help")
DESCRIPTION = """Draw samples from a trained model: a run folder, a model folder, or a checkpoint. Sample number i
depends on the seed and i alone, whatever the count. Files are written in the form the training data had."""


def add(verbs: Any) -> None:
    parser = verbs.add_parser("sample", help="draw samples from a model", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("model", metavar="MODEL", help="a run folder, a model folder, or a checkpoint")
    parser.add_argument("--count", type=int, default=16, metavar="N", help="how many (default: 16)")
    parser.add_argument(
        "--label",
        metavar="NAME",
        help="a class by name or number; 'each' in turn; 'none' for no condition (default: each)",
    )
    parser.add_argument("--given", metavar="NAME=VALUE", action="append", help="a condition's value; give one for each")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed (default: 0)")
    parser.add_argument("--first", type=int, default=0, metavar="I", help="number of the first sample (default: 0)")
    parser.add_argument("--steps", type=int, metavar="N", help="steps of the sampler (default: the model's own)")
    parser.add_argument("--out", metavar="FOLDER", help="folder to make (default: MODEL/samples/0001, 0002, …)")
    parser.add_argument("--trajectory", action="store_true", help="also write a filmstrip and an animation of the walk")
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda, mps, … (default: the best there is)")
    options.add_sections(parser, ["grid"], every=False)
    _add_sampler(parser)
    steering.add(parser)
    parser.set_defaults(run=run)


def _add_sampler(parser: argparse.ArgumentParser) -> None:
    """`--sampler NAME`, and the options of that sampler (of all, where none is named)."""
    names = catalog.names("samplers", "Sampler")
    asked = sys.argv[sys.argv.index("--sampler") + 1 :][:1] if "--sampler" in sys.argv else []
    shown = [name for name in names if not asked or name == asked[0]]
    group = parser.add_argument_group("sampler" + (f" {asked[0]}" if len(shown) == 1 else ""))
    group.add_argument("--sampler", metavar="NAME", help=f"one of {', '.join(names)} (default: the model's own)")
    for option, users in options.union("samplers", shown).items():
        flag = f"--{option.replace('_', '-')}"
        if option in OWN:
            continue
        text = "; ".join(f"{key}: {o.annotation}, default {o.default}" for key, o in users)
        group.add_argument(flag, metavar="VALUE", dest=f"sampler.{option}", help=text.replace("%", "%%"))


def run(arguments: argparse.Namespace) -> int:
    if arguments.count < 1:
        raise UserError(f"--count must be at least 1, not {arguments.count}")
    if arguments.steps is not None and arguments.steps < 1:
        raise UserError(f"--steps must be at least 1, not {arguments.steps}")
    from reverie.cli.bar import counting
    from reverie.training import artefacts, assemble, output, recipe
    from reverie.training.model import load

    model = load(arguments.model, device=options.device(arguments.device))
    own = {key: model.config[key] for key in ("sampler", "grid", "sampling")}
    chosen = options.chosen(arguments, ["sampler", "grid"])
    _own_options(chosen.get("sampler", {}), own["sampler"]["name"])
    config = recipe.validated(recipe.merge(own, chosen))
    sampler, grid, own_steps = assemble.build_sampler(config)
    walk = model.walk(arguments.count, sampler=sampler, grid=grid, steps=arguments.steps or own_steps)
    model.labels(1, arguments.label) if arguments.guide is None else None
    given = _given(arguments.given)
    if model.spec.conditions and not given:
        names = ", ".join(f"--given {name}=…" for name in model.spec.conditions)
        print(f"drawn without the conditions, whose columns are left out; to give them: {names}", file=sys.stderr)
    steered = steering.steering(arguments, model)
    wrap = steered.wrap if arguments.guide else None
    folder = output.fresh(arguments.out, Path(arguments.model) / "samples")
    with counting("sampling", arguments.count) as progress:
        x = model.draw(
            arguments.count,
            label=steered.label,
            wrap=wrap,
            given=given,
            seed=arguments.seed,
            first=arguments.first,
            sampler=sampler,
            steps=walk.times,
            progress=progress,
        )
    made = {
        "model": str(arguments.model),
        "count": arguments.count,
        "label": arguments.label,
        "given": arguments.given,
        "seed": arguments.seed,
        "first": arguments.first,
        "guide": arguments.guide,
        "scale": steering.strength_of(arguments) if arguments.guide else None,
        "evaluations": len(walk.times) - 1,
        **config,
    }
    labels = steered.labels(model, len(x), arguments.first)
    written = output.write(folder, model, x, labels=labels, given=given, made=made)
    if arguments.trajectory:
        few = model.walk(min(arguments.count, artefacts.strip_size(model.spec)), sampler=sampler, steps=walk.times)
        seen = artefacts.frames(model, few, label=steered.label, seed=arguments.seed, moments=30, wrap=wrap)
        written += output.write_walk(folder, model, seen)
    for path in written:
        print(path)
    return 0


def _own_options(given: dict[str, Any], own: str) -> None:
    """Refuse an option that the sampler does not have, and say which ones it has."""
    name = given.get("name", own)
    if name not in catalog.names("samplers", "Sampler"):
        raise unknown("sampler", name, catalog.names("samplers", "Sampler"))
    has = [option.name for option in catalog.options("samplers", name)]
    for option in given:
        if option != "name" and option not in has:
            listed = ", ".join(f"--{o}" for o in has) or "none"
            raise UserError(f"the sampler '{name}' has no option --{option}; its options: {listed}")


def _given(pairs: list[str] | None) -> dict[str, float] | None:
    if not pairs:
        return None
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        try:
            values[name] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise UserError(f"--given takes NAME=NUMBER, not '{pair}'")
    return values
