"""The end of a run: the model folder, its pictures, and what the user is told."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from reverie.core import files
from reverie.metrics import copy_shares
from reverie.training import artefacts
from reverie.training.model import Model, contents

if TYPE_CHECKING:
    from reverie.training.session import Session

COPIES = 1000  # samples looked at for near copies, fewer where drawing them is dear
SHARE = 0.1  # of the time of training that drawing them may take


def close(session: Session, x: Tensor) -> None:
    """Write the model and its pictures, x being the samples of the last preview, and say what there is."""
    run, spec, folder, selection = session.run, session.spec, session.folder, session.selection
    summary: dict[str, Any] = {
        "steps": selection.step if selection.weights else run.step,
        "examples": len(run.train_index),
        "held_out_loss": selection.held_out,
    }
    model = selection.model(session.model(summary))
    if selection.weights:
        x = model.draw(len(x), seed=run.seed)
    summary["copies"] = _copies(session, model, x)
    whole = contents(model.denoiser, spec, session.config, summary)
    whole["README.md"] = artefacts.card(model, session.source)
    files.write_folder(folder.path / "model", whole, replace=True)
    folder.write("samples.png", artefacts.sheet(x, spec, session.reference()))
    folder.write("denoising.png", artefacts.denoising(model, seed=run.seed))
    metrics = folder.metrics()
    folder.write("loss.png", artefacts.loss_curve(metrics))
    written = ["model", "samples.png", "denoising.png", "loss.png"]
    if (levels := artefacts.noise_levels(metrics)) is not None:
        folder.write("noise_levels.png", levels)
        written.append("noise_levels.png")
    _report(session, summary, [*written, "recipe.toml", "metrics.jsonl", "checkpoints"])


def _copies(session: Session, model: Model, x: Tensor) -> dict[str, Any] | None:
    """Shares of near copies among samples and held-out data, where a distance means something."""
    run, spec, data = session.run, session.spec, session.dataset
    if not len(run.held_index) or spec.dimensions > 4096 or spec.kind in ("points", "table"):
        return None
    # an update costs about three evaluations of the network for each example, a sample one for each step
    steps = artefacts.passing(model) or session.config["sampling"]["steps"]
    affordable = SHARE * 3 * run.step * run.options.batch / steps
    more = min(COPIES, int(affordable)) - len(x)
    samples = x if more <= 0 else torch.cat((x, model.draw(more, seed=run.seed, first=len(x), steps=steps)))
    train = data.rows(run.train_index[:20_000])
    return dataclasses.asdict(copy_shares(samples, train, data.rows(run.held_index[:2000])))


def _report(session: Session, summary: dict[str, Any], written: list[str]) -> None:
    path, view, run = session.folder.path, session.view, session.run
    rate = run.step * run.options.batch / max(session.elapsed, 1e-9)
    held = f", held-out loss {summary['held_out_loss']:.4g}" if summary["held_out_loss"] is not None else ""
    view.say(f"done: {run.step} updates in {session.elapsed / 60:.1f} min ({rate:,.0f} examples/s){held}")
    if session.selection.weights:
        what = session.selection.figure.replace("_", "-")
        view.say(f"done: the weights kept are those after update {summary['steps']}, whose {what} was best")
    if summary["copies"]:
        copies = summary["copies"]
        view.say(
            f"near copies of training examples: {copies['samples']:.1%} of samples, "
            f"{copies['held_out']:.1%} of held-out data"
        )
    view.say("written: " + "  ".join(f"{path}/{name}" for name in written))
    label = f" --label {session.spec.classes[0]}" if session.spec.classes else ""
    view.say(f"try next: reverie sample {path} --count 64{label}")
