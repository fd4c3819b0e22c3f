"""`reverie train DATA`: a trained model, its pictures and its records, from one command."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from reverie.cli import options, seeing
from reverie.core.errors import UserError
from reverie.training.recipe import SECTIONS, merge, read_recipe, validated

DESCRIPTION = """Train a diffusion model on DATA: a folder of images (sub-folders are labels), an .npy or .npz array,
IDX files, or a built-in set (digits, swiss-roll, moons, checkerboard, mixture). What is not given is chosen from the
data's shape and size and the time given, printed, and written to the run folder."""

BESIDE = {"classifier": "labeller", "vae": "stage"}  # what is trained beside models → the section of its network


def add(verbs: Any) -> None:
    every = options.all_shown(sys.argv)
    parser = verbs.add_parser(
        "train", help="train a model on your data", description=DESCRIPTION, allow_abbrev=False, add_help=False
    )
    general = parser.add_argument_group("what and how long")
    general.add_argument("data", metavar="DATA", nargs="?", help="a path or the name of a built-in set")
    general.add_argument("--minutes", metavar="M", help="length of training in minutes (default: by the data)")
    general.add_argument(
        "--steps", metavar="N", help="length of training in updates; with --minutes, whichever ends first"
    )
    general.add_argument("--out", metavar="FOLDER", help="run folder to make (default: runs/NAME)")
    general.add_argument("--resume", metavar="FOLDER", help="go on with the run in this folder")
    general.add_argument(
        "--recipe", metavar="NAME", help="a recipe by name or a .toml file; options given here win over it"
    )
    general.add_argument(
        "--classifier",
        action="store_true",
        help="train a classifier of noisy data, to guide samples by, or with --task of observations",
    )
    general.add_argument("--vae", action="store_true", help="train an autoencoder, for models of its codes (--latent)")
    general.add_argument("--latent", metavar="FOLDER", help="train in the codes of this autoencoder and decode samples")
    general.add_argument("--seed", metavar="N", help="seed of everything random (default: 0)")
    general.add_argument(
        "--memory", metavar="SIZE", help="most memory a process may take, such as 4GB (the updates stay the same)"
    )
    general.add_argument("--device", metavar="DEVICE", help="cpu, cuda, mps, … (default: the best there is)")
    general.add_argument("--quiet", action="store_true", help="print only the end and warnings")
    general.add_argument("-h", "--help", action="help", help="show this help and exit")
    general.add_argument("--help-all", action="help", help="show every option of every method and exit")
    reads = parser.add_argument_group("what a classifier reads, if not noisy data (see reverie restore)")
    reads.add_argument("--task", metavar="NAME", help=f"what is seen of an example: {', '.join(seeing.TASKS)}")
    seeing.add(reads)
    options.add_reading(parser)
    options.add_sections(parser, SECTIONS, every=every)
    options.add_training(parser, every=every)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    length = {key: getattr(arguments, key) for key in ("minutes", "steps") if getattr(arguments, key) is not None}
    length = validated({"training": length})["training"]
    chosen = options.chosen(arguments, [*SECTIONS, "training", "sampling"])
    recipe = read_recipe(arguments.recipe) if arguments.recipe else {}
    if arguments.seed is not None:
        chosen["seed"] = arguments.seed
    chosen = merge(recipe, {"training": length}, chosen)
    chosen = validated({k: v for k, v in chosen.items() if v != {}}, partial=True)
    if arguments.resume:
        _only_length(arguments)
    elif not arguments.data:
        raise UserError("name the data: a path or a built-in set, such as 'digits'")
    seeing.settle(arguments)
    if arguments.task and not arguments.classifier:
        raise UserError("--task says what a classifier reads; give --classifier too")
    if arguments.classifier and arguments.vae:
        raise UserError("--classifier and --vae train different things; choose one")
    if arguments.classifier:
        return _beside(arguments, chosen, "classifier")
    if arguments.vae:
        return _beside(arguments, chosen, "vae")
    if "labeller" in chosen:
        raise UserError("--labeller describes the network that --classifier trains; give that too")
    return _go(arguments, chosen, length)


def _beside(arguments: argparse.Namespace, chosen: dict[str, Any], kind: str) -> int:
    """A network that goes with diffusion models, trained into a folder of its own."""
    from reverie.cli.bar import Terminal
    from reverie.data import open_data
    from reverie.training.autoencoding import train_vae
    from reverie.training.classifier import Sight, train_classifier

    train: Any = {"classifier": train_classifier, "vae": train_vae}[kind]
    section = BESIDE[kind]
    other = [name for name in chosen if name not in (section, "training", "seed")]
    other += [name for name in ("latent", "memory", "device") if getattr(arguments, name)]
    if other:
        raise UserError(f"--{kind} takes no --{other[0]}; options of its network are --{section}.NAME (see --help-all)")
    training = chosen.get("training", {})
    taken = {"minutes": "minutes", "steps": "steps", "batch": "batch", "learning_rate": "rate", "holdout": "holdout"}
    for option in training:
        if option not in taken:
            raise UserError(f"--{kind} takes of --training {', '.join(sorted(taken))}, not '{option}'")
    dataset = open_data(arguments.data, **options.reading(arguments))
    name, more = f"{dataset.spec.name}-{kind}", {}
    if arguments.task:
        sight = Sight(seeing.operator(arguments, dataset.spec), arguments.noise, seeing.told(arguments))
        name, more = f"{name}-{arguments.task}", {"sight": sight}
    with Terminal(quiet=arguments.quiet) as view:
        train(
            dataset,
            arguments.out or Path("runs") / name,
            network=chosen.get(section),
            seed=int(chosen.get("seed", 0)),
            view=view,
            **{taken[option]: value for option, value in training.items()},
            **more,
        )
    return 0


def _only_length(arguments: argparse.Namespace) -> None:
    """A resumed run keeps its configuration, all but its length."""
    kept = ("verb", "run", "data", "resume", "minutes", "steps", "device", "quiet", "traceback", "version")
    other = [key for key, value in vars(arguments).items() if key not in kept and value not in (None, False)]
    if other:
        raise UserError(f"--resume keeps the run's own configuration; leave out --{other[0].replace('_', '-')}")


def _go(arguments: argparse.Namespace, chosen: dict[str, Any], length: dict[str, Any]) -> int:
    from reverie.cli.bar import Terminal
    from reverie.training.distributed import join, leave
    from reverie.training.memory import amount
    from reverie.training.session import Session

    world = join(options.device(arguments.device))
    view = Terminal(quiet=arguments.quiet)
    with view:
        if arguments.resume:
            session = Session.resume(arguments.resume, source=arguments.data, length=length, world=world, view=view)
        else:
            reading = options.reading(arguments)
            memory = None if arguments.memory is None else amount(arguments.memory)
            session = Session.begin(
                arguments.data,
                chosen,
                path=arguments.out,
                reading=reading,
                latent=arguments.latent,
                memory=memory,
                world=world,
                view=view,
            )
        code = session.go()
    return leave(world, code)
