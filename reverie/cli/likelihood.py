"""`reverie likelihood RUN`: how many bits the model needs for data, by a bound or exactly, with the error stated."""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.cli import options
from reverie.core.errors import UserError

if TYPE_CHECKING:
    from reverie.likelihoods import Bound, Likelihood
    from reverie.training.budget import Clock, Plan
    from reverie.training.model import Model
    from reverie.training.scoring import Part

DESCRIPTION = """How many bits per dimension the model needs for data: its run's held-out examples beside as many that
it was trained on, or the data at --data. 'elbo' and 'vlb' are bounds in discrete and continuous time, 'importance' is
a tighter bound, 'ode' is exact up to dequantisation. What is not given is chosen so that it takes --budget
seconds once model and data are read. The same examples and seed give the same number."""

FOR = {  # the methods that an option says something about
    "terms": ("elbo", "vlb"),
    "probes": ("ode",),
    "particles": ("importance",),
    "v": ("elbo", "importance"),
    "schedule": ("vlb",),
}
LEAST = {"count": 1, "terms": 2, "probes": 2, "particles": 2}


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
    parser.add_argument("--budget", type=float, default=60.0, metavar="S", help="seconds to take, about (default: 60)")
    parser.add_argument("--count", type=int, metavar="N", help="examples of each part (default: by the clock)")
    parser.add_argument("--terms", type=int, metavar="N", help="elbo, vlb: terms per example (default: by the budget)")
    parser.add_argument(
        "--probes", type=int, metavar="N", help="ode: probes of the divergence (default: by the budget)"
    )
    parser.add_argument("--particles", type=int, metavar="N", help="importance: paths per example (default: likewise)")
    parser.add_argument(
        "--v",
        type=float,
        metavar="V",
        help="elbo, importance: reverse variance, 0 beta-tilde to 1 beta (default: learned, or 1)",
    )
    parser.add_argument(
        "--schedule",
        choices=("uniform", "learned"),
        help="vlb: how log SNR is drawn; learned: so that the bound varies least, as VDM's schedule (default: uniform)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed (default: 0)")
    parser.add_argument("--per-example", metavar="FILE", help="write a table (.csv) with a row per example")
    parser.add_argument("--out", metavar="FOLDER", help="folder to make (default: RUN/likelihood/0001, 0002, …)")
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda, mps, … (default: the best there is)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    methods = _methods(arguments.method)
    _check(arguments, methods)
    from reverie.training import budget, likelihood_plots, output
    from reverie.training.model import load

    model = load(arguments.model, device=options.device(arguments.device))
    dataset, parts = _examples(arguments, model)
    folder = output.fresh(arguments.out, Path(arguments.model) / "likelihood")
    some = dataset.rows(next(iter(parts.values()))[:256]).to(next(model.parameters()).device)
    rate = budget.speed(model, some, min(1.0, arguments.budget / 20))
    pieces = len(methods) * len(parts) * (1 + budget.PICTURES)
    clock = budget.Clock(arguments.budget - budget.ENDING, pieces)
    job = _Job(arguments, model, dataset, parts, clock, rate)
    results = [job.method(method) for method in methods]
    drawn = likelihood_plots.files_of(model, results, evaluations=budget.PICTURES * arguments.budget * rate)
    written = _write(folder, drawn, results, arguments)
    print("written: " + "  ".join(str(path) for path in written))
    return 0


def _methods(asked: str) -> list[str]:
    """The methods named: one, several with commas between, or all. Raises UserError for an unknown one."""
    from reverie.core.errors import unknown
    from reverie.training.scoring import METHODS

    names = list(METHODS) if asked == "all" else [name.strip() for name in asked.split(",")]
    for name in names:
        if name not in METHODS:
            raise unknown("method", name, (*METHODS, "all"))
    return list(dict.fromkeys(names))


def _check(arguments: argparse.Namespace, methods: list[str]) -> None:
    for name, least in LEAST.items():
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise UserError(f"--{name} must be at least {least}, not {value}")
    if not 0 < arguments.budget < math.inf:
        raise UserError(f"--budget must be seconds above 0, not {arguments.budget:g}")
    if arguments.v is not None and not 0 <= arguments.v <= 1:
        raise UserError(f"--v must be between 0 (beta-tilde) and 1 (beta), not {arguments.v:g}")
    if arguments.per_example and not arguments.per_example.endswith(".csv"):
        raise UserError(f"--per-example must name a .csv file, not '{arguments.per_example}'")
    if arguments.per_example and not Path(arguments.per_example).absolute().parent.is_dir():
        raise UserError(f"--per-example: there is no folder '{Path(arguments.per_example).parent}'")
    for name, users in FOR.items():
        if getattr(arguments, name) is not None and not set(users) & set(methods):
            raise UserError(f"--{name} is for method {' or '.join(users)}, not {', '.join(methods)}")


@dataclass(frozen=True)
class _Job:
    """What is asked of which model about which examples, and the time there is for it."""

    arguments: argparse.Namespace
    model: Model
    dataset: Any
    parts: dict[str, Any]
    clock: Clock
    rate: float

    def method(self, method: str) -> tuple[str, Likelihood, list[Part]]:
        """One method on every part, and what it says."""
        from reverie.training import budget, scoring

        available, count = min(len(index) for index in self.parts.values()), len(self.parts)
        asked = {name: getattr(self.arguments, name) for name in LEAST}
        plan = budget.plan(self.model, method, self.clock.share(count) / count, available, self.rate, asked)
        print(_plan(self.model, method, plan, count), flush=True)
        likelihood = scoring.likelihood_for(
            self.model, method, plan.effort, v=self.arguments.v, knots=self._knots() if method == "vlb" else ()
        )
        done: list[Part] = []
        for name, index in self.parts.items():
            chosen = scoring.choose(index, len(done[0].index) if done else plan.effort.count, self.arguments.seed)
            done.append(self._score(name, chosen, likelihood, plan))
            self.clock.done()
        _tell(done, likelihood)
        if self.arguments.count is None:
            unit = budget.UNITS[method]
            print(f"the same numbers again: --count {len(done[0].index)} --{unit} {getattr(plan.effort, unit)}")
        return method, likelihood, done

    def _knots(self) -> tuple[float, ...]:
        """The schedule of log SNR that was asked for."""
        from reverie.training import scoring

        if self.arguments.schedule != "learned":
            return ()
        index = self.parts.get("training", next(iter(self.parts.values())))
        knots = scoring.learned_schedule(self.model, self.dataset, index, seed=self.arguments.seed)
        print(f"learned schedule: log SNR {', '.join(f'{knot:.3g}' for knot in knots)} at equal steps", flush=True)
        return knots

    def _score(self, name: str, chosen: Any, likelihood: Likelihood, plan: Plan) -> Part:
        from reverie.cli.bar import counting
        from reverie.training import scoring

        seconds = None if self.arguments.count is not None else self.clock.share()
        with counting(f"scoring {name}", min(len(chosen), plan.expected)) as progress:
            part = scoring.score(
                self.model, self.dataset, chosen, likelihood,
                name=name, seed=self.arguments.seed, seconds=seconds, chunk=plan.chunk, progress=progress,
            )  # fmt: skip
        print(_line(part), flush=True)
        return part


def _plan(model: Model, method: str, plan: Plan, parts: int) -> str:
    """What will be done, in words."""
    from reverie.training import scoring

    effort = plan.effort
    each = {
        "elbo": f"{effort.terms} terms",
        "vlb": f"{effort.terms} terms",
        "ode": "exact divergence" if model.seen.dimensions <= scoring.EXACT_UP_TO else f"{effort.probes} probes",
        "importance": f"{effort.particles} paths of {scoring.PATHS} steps",
    }
    several, seconds = " of each part" if parts > 1 else "", max(1.0, parts * plan.seconds)
    return f"{method}: about {plan.expected} examples{several}, {each[method]} each, in {seconds:.0f} s"


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


def _tell(parts: list[Part], likelihood: Likelihood) -> None:
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
        few = "; with fewer than 2, the stated error of sampling is too small" if effective.mean() < 2 else ""
        print(f"effective paths: {float(effective.mean()):.1f} of each example's{few}")
    mismatch = parts[0].bound.details.get("prior_mismatch")
    if mismatch is not None:
        print(f"prior: at most {float(mismatch.mean()):.4f} nats an example off the law of noised data")


def _write(folder: Path, drawn: dict[str, bytes], results: list[Any], arguments: argparse.Namespace) -> list[Path]:
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
    contents = {"likelihood.json": json.dumps(summary, indent=1).encode() + b"\n", **drawn}
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
