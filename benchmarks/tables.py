"""Tables: are the marginals and the correlations of samples those of the data?

    python -m benchmarks.tables FILE.csv.gz [FILE …] [--steps 1500] [--pictures FOLDER]
A model is trained on each table as `reverie train FILE --steps N` would, and as many samples as there are held-out
rows are saved and read back. Of each column the Kolmogorov–Smirnov distance to the held-out rows is taken, and of each
pair the correlation; the floor is the same for as many training rows in the samples' place, the baseline for rows with
the right marginals and no correlations. Pictures show the best, the median and the worst column of each table, and all
correlations. Tables that were measured before keep their numbers.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.machine import RESULTS, write
from reverie.core.rng import Rng
from reverie.data import Dataset, load_like, save
from reverie.metrics import columns
from reverie.pictures import render
from reverie.pictures.plots import ACCENT, INK, QUIET
from reverie.training.model import load
from reverie.training.session import Session

MOST = 5000  # rows compared


@dataclass(frozen=True)
class Compared:
    """Rows (N, D) of the samples, of held-out data, and of training data in the samples' place."""

    name: str
    samples: Tensor
    held: Tensor
    real: Tensor


def trained(path: str, steps: int, folder: Path) -> Compared:
    """Samples of a model trained on the table, saved and read again, beside the data."""
    session = Session.begin(path, {"training": {"steps": steps, "previews": 0, "checkpoints": 0}}, path=folder / "run")
    session.go()
    data, model = session.dataset, load(folder / "run")
    train, held = data.split()
    held = held[:MOST]
    back = load_like(save(model.draw(len(held), seed=1), model.spec, folder / "samples")[0], model.spec)
    chosen = train[Rng(0).fork("floor").uniform(len(train)).argsort()[: len(held)]]
    real, beside = (data.native(index).double() for index in (held, chosen))
    return Compared(data.spec.name, rows(back), real, beside)


def rows(data: Dataset) -> Tensor:
    return data.native(torch.arange(len(data))).double()


def shuffled(x: Tensor) -> Tensor:
    """The same columns, each in an order of its own."""
    keys = Rng(0).fork("shuffle").uniform(len(x), x.shape[1]).argsort(0)
    return x.gather(0, keys)


def numbers(found: Compared) -> dict[str, Any]:
    """The distances of the samples, of real rows in their place, and of rows without correlations."""
    sides = {"samples": found.samples, "floor": found.real, "baseline": shuffled(found.real)}
    compared = {side: columns(x, found.held) for side, x in sides.items()}
    return {
        "rows": len(found.held),
        "columns": found.held.shape[1],
        **{f"mean_ks_{side}": round(float(np.mean(c.marginals)), 4) for side, c in compared.items()},
        "worst_ks_samples": round(max(compared["samples"].marginals), 4),
        **{f"correlation_{side}": round(rms_correlation(x, found.held), 4) for side, x in sides.items()},
    }


def correlations(x: Tensor) -> Tensor:
    """The correlation of each pair of columns, 0 for constant ones."""
    above = torch.triu_indices(x.shape[1], x.shape[1], 1)
    return torch.corrcoef(x.T).nan_to_num(0.0)[above[0], above[1]]


def rms_correlation(x: Tensor, y: Tensor) -> float:
    """Root of the mean square difference of all correlations."""
    return float((correlations(x) - correlations(y)).square().mean().sqrt())


def picture(found: Compared) -> bytes:
    """The marginals of three columns, and all correlations."""
    figure = Figure((10, 2.2), layout="constrained")
    panels = figure.subplots(1, 4)
    distance = np.array(columns(found.samples, found.held).marginals)
    order = distance.argsort()
    for axes, k, word in zip(panels, order[[0, len(order) // 2, -1]], ("best", "median", "worst"), strict=False):
        sides = [found.held[:, k].numpy(), found.samples[:, k].numpy()]
        low, high = np.percentile(sides[0], (0.5, 99.5))
        edges = np.linspace(low, high if high > low else low + 1, 31)
        real, made = (np.clip(values, edges[0], edges[-1]) for values in sides)
        axes.hist(real, edges, density=True, color=QUIET, alpha=0.7, label="held-out rows")
        axes.hist(made, edges, density=True, histtype="step", color=ACCENT, label="samples")
        axes.set_title(f"column {k}, {word}: KS {distance[k]:.3f}", fontsize=8)
    panels[0].set_ylabel(found.name)
    panels[0].legend(frameon=False, fontsize=6)
    panels[3].plot((-1, 1), (-1, 1), color=QUIET, linewidth=0.7)
    panels[3].scatter(correlations(found.held), correlations(found.samples), s=6, color=INK)
    panels[3].set_title("correlations (data across)", fontsize=8)
    for axes in panels:
        axes.tick_params(labelsize=6)
    return render(figure, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", help="tables of numbers")
    parser.add_argument("--steps", type=int, default=1500, help="updates on each (default: 1500)")
    parser.add_argument("--pictures", metavar="FOLDER", help="where to draw marginals and correlations")
    chosen = parser.parse_args()
    before = RESULTS / "tables.json"
    result = json.loads(before.read_text())["tables"] if before.exists() else {}
    for path in chosen.tables:
        with tempfile.TemporaryDirectory() as folder:
            found = trained(path, chosen.steps, Path(folder))
        result[found.name] = {"updates": chosen.steps, **numbers(found)}
        print(found.name, result[found.name], flush=True)
        if chosen.pictures:
            Path(chosen.pictures, f"table-{found.name}.png").write_bytes(picture(found))
    write("tables", {"tables": result})


if __name__ == "__main__":
    main()
