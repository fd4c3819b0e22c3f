"""Every form of data goes in and comes out as it was: opened, checked, trained on, sampled, saved, opened again."""

import json

import numpy as np
import pytest
import torch
from made_data import MADE

from reverie.cli.main import main
from reverie.data import Spec, check, load_like, open_data, save
from reverie.data.base import Dataset
from reverie.training.assemble import build_denoiser, build_loss, build_sampler
from reverie.training.defaults import choose
from reverie.training.model import Model
from reverie.training.recipe import training_options
from reverie.training.run import Run

OPTIONS = {"npz with conditions": {"condition": "age,place"}, "webdataset shards": {"condition": "age"}}
EXACT = (torch.bool, torch.uint8, torch.int8, torch.uint16, torch.int16)  # the model computes in float32


@pytest.fixture
def opened(request, tmp_path) -> Dataset:
    path = MADE[request.param](tmp_path / "set", np.random.default_rng(0))
    return open_data(str(path), **OPTIONS.get(request.param, {}))


every = pytest.mark.parametrize("opened", MADE, indirect=True)


def reopened(paths, folder, spec: Spec) -> Dataset:
    return open_data(paths[0] if len(paths) == 1 and spec.format not in ("png", "tiff", "cifar") else folder)


def assert_alike(back: Dataset, spec: Spec) -> None:
    """Units, type, shape, format and names are the data's own."""
    now = back.spec
    assert (now.shape, now.dtype, now.kind, now.mode, now.columns) == (
        spec.shape, spec.dtype, spec.kind, spec.mode, spec.columns,
    )  # fmt: skip
    assert now.format == spec.format
    assert now.layout == spec.layout
    assert set(now.classes) <= set(spec.classes)


@every
def test_counts_add_up(opened):
    report = opened.report
    assert report.found == report.used + report.skipped
    assert sum(report.labels.values()) in (0, len(opened))
    assert json.loads(json.dumps(report.to_json()))["used"] == report.used


@every
def test_the_description_survives_json(opened):
    assert Spec.from_json(json.loads(json.dumps(opened.spec.to_json()))) == opened.spec


@every
def test_moments_in_the_description_are_those_of_the_rows(opened):
    rows = opened.rows(torch.arange(len(opened))).double()
    channels = rows.transpose(0, 1).reshape(rows.shape[1], -1)
    assert torch.allclose(channels.mean(1), torch.tensor(opened.spec.mean, dtype=torch.float64), atol=1e-5)
    assert torch.allclose(
        channels.std(1, correction=0), torch.tensor(opened.spec.spread, dtype=torch.float64), atol=1e-5
    )
    assert abs(float(rows.std(correction=0)) - opened.spec.std) < 1e-5


@every
def test_what_is_saved_is_what_was_read(opened, tmp_path):
    index = torch.arange(len(opened))
    rows, native = opened.rows(index), opened.native(index)
    assert rows.dtype == torch.float32
    assert tuple(rows.shape) == (len(opened), *opened.spec.shape)
    paths = save(rows, opened.spec, tmp_path / "out", labels=opened.labels(index))
    back = reopened(paths, tmp_path / "out", opened.spec)
    assert_alike(back, opened.spec)
    assert back.spec.classes == opened.spec.classes
    # Files of one class come together, so that rows are compared as sets.
    mine, theirs = (ranked(d.native(torch.arange(len(d))), d) for d in (opened, back))
    if native.dtype not in EXACT:
        reach = float(native.double().abs().max())
        assert np.allclose(mine, theirs, rtol=0, atol=reach * (1e-3 if native.dtype == torch.float16 else 3e-6))
    else:
        assert np.array_equal(mine, theirs)


def ranked(native: torch.Tensor, data: Dataset) -> np.ndarray:
    """Examples as rows of numbers with their class, in an order of their own (by a hash, coarse for floats)."""
    rows = native.double().reshape(len(native), -1).numpy()
    labels = data.labels(torch.arange(len(data)))
    rows = rows if labels is None else np.column_stack((labels.numpy(), rows))
    weights = np.random.default_rng(1).normal(size=rows.shape[1])
    return rows[np.argsort((rows @ weights).round(2), kind="stable")]


@every
def test_labels_can_be_left_out(opened, tmp_path):
    bare, first = open_data(opened.report.path, label="none"), torch.arange(2)
    assert (bare.spec.classes, bare.report.labels, bare.labels(first)) == ((), {}, None)
    assert load_like(opened.report.path, bare.spec).labels(first) is None
    assert save(bare.rows(first), bare.spec, tmp_path / "out")


@every
def test_it_is_explained_without_an_error(opened):
    lines = dict(check.detailed(check.Finding(opened.report, opened)))
    assert "examples" in lines
    assert "error" not in lines
    assert check.brief(opened)


def small(spec: Spec, count: int) -> dict:
    """The default configuration with a tiny network."""
    own = choose(spec, count, {})["network"]["name"]
    size = {"width": 8, "depth": 1} if own == "mlp" else {"width": 8, "multipliers": [1], "depth": 1, "attention": []}
    return choose(spec, count, {"network": {"name": own, **size}, "training": {"steps": 1, "batch": 4}})


@every
def test_samples_of_a_model_have_the_form_of_its_data(opened, tmp_path):
    spec = opened.spec
    config = small(spec, len(opened))
    denoiser = build_denoiser(config, spec)
    run = Run(denoiser, build_loss(config), opened, training_options(config), seed=0)
    assert run.update().isfinite().all()
    model = Model(run.average.module, spec, config)
    sampler, grid, _ = build_sampler(config)
    given = dict.fromkeys(spec.conditions, 1.0) or None
    x = model.draw(6, given=given, steps=1, sampler=sampler, grid=grid)
    paths = save(x, spec, tmp_path / "out", labels=model.labels(6, None))
    back = load_like(paths[0] if len(paths) == 1 or "samples.npy" in str(paths[0]) else tmp_path / "out", spec)
    assert len(back) == 6
    assert_alike(back, spec)


def test_there_are_at_least_forty_forms():
    assert len(MADE) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_the_command_line_takes_every_form_by_its_path_alone(name, tmp_path, monkeypatch, capsys):
    """check, train, sample: nothing is named but the path and how short it all shall be."""
    path, run, out = MADE[name](tmp_path / "set", np.random.default_rng(0)), tmp_path / "run", tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    assert main(["check", str(path), "--json", "--no-forecast"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["train", str(path), "--steps", "1", "--out", str(run), "--quiet"]) == 0
    assert main(["sample", str(run), "--count", "6", "--steps", "1", "--out", str(out)]) == 0
    spec = open_data(path).spec
    assert Spec.from_json(found["spec"]) == spec
    single = [p for p in out.iterdir() if p.name.startswith("samples") and not p.stem.endswith("_labels")]
    back = load_like(single[0] if len(single) == 1 else out, spec)
    assert len(back) == 6
    assert_alike(back, spec)
