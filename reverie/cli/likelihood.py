"""`reverie likelihood RUN`: how many bits the model needs for data, by a bound or exactly, with the error stated."""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.cli import options
from reverie.core.errors import UserError

if TYPE_CHECKING:
    from reverie.likelihoods import Bound
    from reverie.training.model import Model
    from reverie.training.scoring import Part

DESCRIPTION = """How many bits per dimension the model needs for data: its run's held-out examples beside as many that
it was trained on, or the data at --data. 'elbo' and 'vlb' are bounds in discrete and continuous time, 'importance' is
a tighter bound, 'ode' is exact up to dequantisation. The same examples and seed give the same number."""


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "likelihood", help="bits per dimension of data under a model", description=DESCRIPTION, allow_abbrev=False
    )
    parser.add_argument("model", metavar="RUN", help="a run folder or a model folder")
    parser.add_argument("--data", metavar="PATH", help="other data, such as a test set (default: the run's own)")
    parser.add_argument(
        "--method",
        default="elbo",
        metavar="NAME",
        help="elbo, vlb, ode, importance, several as a,b, or all (default: elbo)",
    )
    parser.add_argument("--count", type=int, metavar="N", help="examples of each part (default: what the budget buys)")
    parser.add_argument("--terms", type=int, metavar="N", help="terms of a bound per example (default: by the budget)")
    parser.add_argument("--probes", type=int, metavar="N", help="probes of the divergence (default: by the budget)")
    parser.add_argument("--particles", type=int, metavar="N", help="trajectories per example (default: by the budget)")
    parser.add_argument(
        "--v", type=float, metavar="V", help="reverse variance: 0 beta-tilde, 1 beta (default: learned, or 1)"
    )
    parser.add_argument("--budget", type=float, default=60.0, metavar="S", help="seconds to spend, about (default: 60)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed (default: 0)")
    parser.add_argument("--per-example", metavar="FILE", help="write a table (.csv) with a row per example")
    parser.add_argument("--out", metavar="FOLDER", help="folder to make (default: RUN/likelihood/0001, 0002, …)")
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda, mps, … (default: the best there is)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    _check(arguments)
    from reverie.training import output, scoring
    from reverie.training.model import load

    methods = _methods(arguments.method)
    model = load(arguments.model, device=options.device(arguments.device))
    dataset, parts = _examples(arguments, model)
    folder = output.fresh(arguments.out, Path(arguments.model) / "likelihood")
    results = []
    for method in methods:
        effort = _effort(arguments, model, dataset, parts, method, arguments.budget / len(methods))
        likelihood = scoring.likelihood_for(model, method, effort, v=arguments.v)
        done = [_score(arguments, model, dataset, index, likelihood, name, effort) for name, index in parts.items()]
        _tell(done, likelihood)
        results.append((method, likelihood, done))
    written = _write(folder, model, results, arguments)
    print("written: " + "  ".join(str(path) for path in written))
    return 0


def _methods(asked: str) -> list[str]:
    """The methods named: one, several with commas between, or all. Raises UserError for an unknown one."""
    from reverie.core.errors import unknown
    from reverie.training.scoring import METHODS

    names = list(METHODS) if asked == "all" else asked.split(",")
    for name in names:
        if name not in METHODS:
            raise unknown("method", name, (*METHODS, "all"))
    return names


def _score(
    arguments: argparse.Namespace, model: Model, dataset: Any, index: Any, likelihood: Any, name: str, effort: Any
) -> Part:
    from reverie.cli.bar import counting
    from reverie.training import scoring

    chosen = scoring.choose(index, effort.count, arguments.seed)
    with counting(f"scoring {name}", len(chosen)) as progress:
        part = scoring.score(model, dataset, chosen, likelihood, name=name, seed=arguments.seed, progress=progress)
    print(_line(part), flush=True)
    return part


def _check(arguments: argparse.Namespace) -> None:
    for name, least in (("count", 1), ("terms", 2), ("probes", 2), ("particles", 2)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise UserError(f"--{name} must be at least {least}, not {value}")
    if not 0 < arguments.budget < math.inf:
        raise UserError(f"--budget must be seconds above 0, not {arguments.budget:g}")
    if arguments.v is not None and not 0 <= arguments.v <= 1:
        raise UserError(f"--v must be between 0 (beta-tilde) and 1 (beta), not {arguments.v:g}")
    if arguments.per_example and not arguments.per_example.endswith(".csv"):
        raise UserError(f"--per-example must name a .csv file, not '{arguments.per_example}'")


def _examples(arguments: argparse.Namespace, model: Model) -> tuple[Any, dict[str, Any]]:
    """The dataset, and the numbers of its examples by part: held-out and training, or all of other data."""
    import torch

    from reverie.data import load_like, open_data

    if arguments.data is not None:
        dataset = load_like(arguments.data, model.spec)
        return dataset, {dataset.spec.name or "data": torch.arange(len(dataset))}
    described = Path(arguments.model) / "run.json"
    if not described.is_file():
        raise UserError(f"'{arguments.model}' does not say where its data are; name some with --data")
    from reverie.core import modelfile

    made = modelfile.read_config(described.read_bytes())
    dataset = open_data(made["source"], **made["reading"])
    if dataset.spec.shape != model.spec.shape:
        raise UserError(
            f"the data at '{made['source']}' are not those that the run was made with; name some with --data"
        )
    training = model.config.get("training", {})
    train, held = dataset.split(float(training.get("holdout", 0.1)), int(model.config.get("seed", 0)))
    return dataset, {"held-out": held, "training": train} if len(held) else {"training": train}


def _effort(
    arguments: argparse.Namespace, model: Model, dataset: Any, parts: dict[str, Any], method: str, seconds: float
) -> Any:
    """What the budget buys, with what was asked for in its place."""
    import dataclasses

    from reverie.training import scoring

    available = min(len(index) for index in parts.values())
    first = next(iter(parts.values()))[: scoring.chunk_of(model)]
    x0 = dataset.rows(first).to(next(model.parameters()).device)
    rate = scoring.speed(model, x0)
    effort = scoring.within(model, method, seconds / len(parts), available, rate)
    given = {name: getattr(arguments, name) for name in ("count", "terms", "probes", "particles")}
    effort = dataclasses.replace(effort, **{name: value for name, value in given.items() if value is not None})
    effort = dataclasses.replace(effort, count=min(effort.count, available))
    exact = model.seen.dimensions <= scoring.EXACT_UP_TO
    seconds = len(parts) * effort.count * effort.evaluations(method, exact) / rate
    each = {
        "elbo": f"{effort.terms} terms",
        "vlb": f"{effort.terms} terms",
        "ode": "exact divergence" if exact else f"{effort.probes} probes",
        "importance": f"{effort.particles} trajectories of {scoring.PATHS} steps",
    }
    print(f"{method}: {effort.count} examples a part, {each[method]} each; about {seconds:.0f} s", flush=True)
    return effort


def _line(part: Part) -> str:
    mean, error = part.mean()
    bound = part.bound
    nats = float(bound.total.mean())
    nats_error = float(bound.total.std() / math.sqrt(len(bound.total))) if len(bound.total) > 1 else math.nan
    sign = "≤ " if bound.is_bound else ""
    terms = ", ".join(f"{name} {_bits(bound, term):.4f}" for name, term in bound.terms.items())
    return f"{part.name:>10}  {sign}{mean:.4f} ± {error:.4f} bits/dim  ({nats:.2f} ± {nats_error:.2f} nats)  = {terms}"


def _bits(bound: Bound, term: Any) -> float:
    from reverie.core.units import bits_per_dim

    return float(bits_per_dim(term.mean(), bound.dimensions))


def _tell(parts: list[Part], likelihood: Any) -> None:
    """What the numbers mean together."""
    if len(parts) == 2:
        (held, a), (train, b) = (part.mean() for part in parts)
        gap, error = held - train, math.hypot(a, b)
        verdict = "the training examples are remembered" if gap > 3 * error else "no sign of overfitting"
        print(f"held-out − training: {gap:+.4f} ± {error:.4f} bits/dim ({verdict})")
    own = parts[0].bound.error
    if bool((own > 0).any()):
        mean = float(own.square().nanmean() / len(own)) ** 0.5 / (parts[0].bound.dimensions * math.log(2))
        print(
            f"of this, sampling makes ± {float(own.nanmean()):.2f} nats an example, ± {mean:.4f} bits/dim of the mean"
        )
    print(f"method: {likelihood!r}")
    effective = parts[0].bound.details.get("effective")
    if effective is not None:
        print(f"effective trajectories: {float(effective.mean()):.1f}")
    mismatch = parts[0].bound.details.get("prior_mismatch")
    if mismatch is not None:
        print(f"prior: at most {float(mismatch.mean()):.4f} nats an example off the law of noised data")


def _write(folder: Path, model: Model, results: list[Any], arguments: argparse.Namespace) -> list[Path]:
    from reverie.core import files
    from reverie.training import scoring

    summary = {
        "model": str(arguments.model),
        "data": arguments.data,
        "seed": arguments.seed,
        "methods": {
            method: {"likelihood": repr(likelihood), "parts": {part.name: _summary(part) for part in parts}}
            for method, likelihood, parts in results
        },
    }
    contents = {"likelihood.json": json.dumps(summary, indent=1).encode() + b"\n", **_pictures(model, results)}
    for name, data in contents.items():
        files.write_file(folder / name, data)
    written = [folder / name for name in contents]
    if arguments.per_example:
        rows = [{"method": method} | row for method, _, parts in results for p in parts for row in scoring.rows_of(p)]
        text = io.StringIO()
        table = csv.DictWriter(text, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
        table.writeheader()
        table.writerows(rows)
        files.write_file(arguments.per_example, text.getvalue().encode())
        written.append(Path(arguments.per_example))
    return written


def _summary(part: Part) -> dict[str, Any]:
    mean, error = part.mean()
    terms = {name: _bits(part.bound, term) for name, term in part.bound.terms.items()}
    return {
        "examples": len(part.index),
        "bits_per_dim": mean,
        "standard_error": error,
        "is_bound": part.bound.is_bound,
        "terms_bits_per_dim": terms,
    }


def _pictures(model: Model, results: list[Any]) -> dict[str, bytes]:
    """Terms by time, rate against distortion, entropies by step; the most and least likely of the first part."""
    from reverie.processes import Gaussian
    from reverie.training import artefacts, likelihood_plots

    drawn = {}
    for method, likelihood, parts in results:
        if all(part.bound.curve is not None for part in parts):
            drawn[f"terms-{method}.png"] = likelihood_plots.terms({part.name: part.bound for part in parts})
        if method == "elbo" and isinstance(model.process, Gaussian) and model.stage is None:
            drawn["rate-distortion.png"] = likelihood_plots.tradeoff(model, likelihood, parts[0].x0[:64])
            drawn["entropy.png"] = likelihood_plots.entropy(model, parts[0].x0[:8])
    first = results[0][2][0]
    order = first.bound.total.argsort()
    for name, rows in (("most-likely.png", order[:64]), ("least-likely.png", order.flip(0)[:64])):
        drawn[name] = artefacts.sheet(first.x0[rows], model.spec, first.x0)
    return drawn
