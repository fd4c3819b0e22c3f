"""`reverie restore MODEL --input FILE --task TASK`: what a damaged picture may have been, several times over."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.cli import options, seeing, steering
from reverie.core import catalog
from reverie.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.guidance import Observation, Operator
    from reverie.training.guides import Steering
    from reverie.training.model import Model
    from reverie.training.restoring import Restored

BY = "classifier:"  # --label classifier:RUN
DESCRIPTION = """Restore FILE with a trained model: draw samples of what it may have been, given what of it is seen.
FILE is the observation; with --degrade it is a whole example, from which the observation is made first. Written are the
observation, the mask, the samples, their mean and their standard deviation for each pixel."""


def add(verbs: Any) -> None:
    parser = verbs.add_parser("restore", help="restore a damaged picture", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("model", metavar="MODEL", help="a run folder, a model folder, or a checkpoint")
    parser.add_argument("--input", metavar="FILE", required=True, help="a picture, or an .npy array of one example")
    parser.add_argument("--task", metavar="NAME", required=True, help=f"one of {', '.join(seeing.TASKS)}")
    what = parser.add_argument_group("what was seen")
    seeing.add(what)
    what.add_argument("--degrade", action="store_true", help="FILE is a whole example: make the observation from it")
    how = parser.add_argument_group("how it is restored")
    how.add_argument("--samples", type=int, default=8, metavar="N", help="how many (default 8)")
    how.add_argument("--method", metavar="NAME", default="moment-matching", help=f"one of {', '.join(_methods())}")
    how.add_argument(
        "--label", metavar="NAME", help="a class by name or number, or classifier:RUN, which reads off the observation "
        "how probable each is, for every sample to draw its own (default: none)",
    )  # fmt: skip
    how.add_argument("--steps", type=int, metavar="N", help="steps of the sampler (default: the model's own)")
    how.add_argument("--repeats", type=int, metavar="N", help="visits of each step (default: 5 of repaint, else 1)")
    how.add_argument("--particles", type=int, default=64, metavar="K", help="particles: how many (default 64)")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="seed (default 0)")
    steering.add(parser)
    parser.add_argument("--out", metavar="FOLDER", help="folder to make (default: MODEL/restored/0001, 0002, …)")
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda, mps, … (default: the best there is)")
    parser.set_defaults(run=run)


def _methods() -> list[str]:
    found = {*catalog.names("guidance", "Measured"), *catalog.names("guidance", "Replacement")}
    return sorted(found | {"repaint", "particles"})


def run(arguments: argparse.Namespace) -> int:
    seeing.settle(arguments)
    _in_range(arguments)
    from reverie.cli.bar import counting
    from reverie.guidance import Observation
    from reverie.training import output
    from reverie.training.model import load
    from reverie.training.reading import read_example
    from reverie.training.restoring import around, restore

    model = load(arguments.model, device=options.device(arguments.device))
    operator = seeing.operator(arguments, model.spec, seed=arguments.seed)
    y = _observed(arguments, operator, read_example(arguments.input, model.spec, operator, whole=arguments.degrade))
    try:
        observation = Observation(operator, y, arguments.noise)
    except ValueError as error:
        raise UserError(f"--input '{arguments.input}': {error}") from error
    around(arguments.method, observation, model.spec)
    chances = _chances(arguments.label, model, observation)
    if chances is not None and arguments.method == "particles":
        raise UserError("--method particles weighs samples of one label; name it, or choose another method")
    steered = _steered(arguments, model)
    model.labels(1, steered.label or "none")
    folder = output.fresh(arguments.out, Path(arguments.model) / "restored")
    with counting("restoring", arguments.samples) as progress:
        restored = restore(
            model, observation, count=arguments.samples, method=arguments.method,
            label=(steered.label or "none") if chances is None else chances, wrap=steered.wrap,
            steps=arguments.steps, repeats=arguments.repeats, particles=arguments.particles, seed=arguments.seed,
            progress=progress,
        )  # fmt: skip
    for path in _write(folder, model, observation, restored, arguments):
        print(path)
    if restored.effective is not None:
        print(f"particles that count: {restored.effective:.1f} of {max(arguments.particles, arguments.samples)}")
    if chances is not None:
        print(f"label: {_ranked(model, chances)}")
    return 0


def _chances(label: str | None, model: Model, observation: Observation) -> Tensor | None:
    """p(c | y) by the classifier that was named in the place of a label; None where none was."""
    from reverie.training.classifier import load_classifier

    if label is None or not label.startswith(BY):
        return None
    classifier = load_classifier(label.removeprefix(BY))
    if classifier.spec.classes != model.spec.classes:
        has = "has no labels" if not model.spec.classes else f"has the labels {', '.join(model.spec.classes)}"
        raise UserError(f"--label {label}: it names {', '.join(classifier.spec.classes)}, but the model {has}")
    try:
        return classifier.read(observation)[0]
    except UserError as error:
        raise UserError(f"--label {label}: {error}") from error


def _ranked(model: Model, chances: Tensor) -> str:
    """The labels of 1 % or more, the likeliest first."""
    order = chances.argsort(descending=True).tolist()
    return ", ".join(f"{model.spec.classes[k]} ({float(chances[k]):.0%})" for k in order if chances[k] >= 0.01)


def _steered(arguments: argparse.Namespace, model: Model) -> Steering:
    """The guidance asked for besides the observation; one towards labels needs to be told which."""
    if arguments.label == "each":
        raise UserError(
            "--label each is for many samples; a restoration is of one example: name its label, or leave it out"
        )
    if (arguments.guide or "").partition(":")[0] in ("cfg", "classifier") and arguments.label is None:
        raise UserError(f"--guide {arguments.guide} steers towards a label; name it with --label")
    if (arguments.label or "").startswith(BY):
        arguments = argparse.Namespace(**{**vars(arguments), "label": "each"})  # every sample has its own
    return steering.steering(arguments, model)


def _in_range(arguments: argparse.Namespace) -> None:
    for name in ("samples", "repeats", "particles", "steps"):
        given = getattr(arguments, name)
        if given is not None and given < 1:
            raise UserError(f"--{name} must be at least 1, not {given}")


def _observed(arguments: argparse.Namespace, operator: Operator, given: Tensor) -> Tensor:
    """The observation: the file itself, or made from it with --degrade."""
    from reverie.core.rng import Rng

    if not arguments.degrade:
        return given
    seen = operator.apply(given)
    return seen + arguments.noise * Rng(arguments.seed).fork("observation").normal(seen)


def _write(
    folder: Path, model: Model, observation: Observation, restored: Restored, arguments: argparse.Namespace
) -> list[Path]:
    from reverie import data
    from reverie.core import files
    from reverie.training.restoring import contents

    left_out = ("run", "verb", "traceback", "version", "guide", "scale")
    made = {key: v for key, v in vars(arguments).items() if key not in left_out and not key.startswith("guide.")}
    made |= steering.told(arguments)
    written = []
    for name, content in contents(model.spec, observation, restored, made).items():
        files.write_file(folder / name, content)
        written.append(folder / name)
    saved = data.save(restored.samples, model.spec, folder / "samples")
    return [*written, *(saved if len(saved) < 4 else [folder / "samples"])]
