"""Guidance by name: what each name does to a model, and what it refuses in one line."""

import numpy as np
import pytest
import torch

from reverie.core.errors import UserError
from reverie.guidance import Auto, Classifier, ClassifierFree, MeanColour, Potential, Product, RegionAverage
from reverie.training.classifier import load_classifier
from reverie.training.guides import Strength, guide
from reverie.training.model import earliest, load


@pytest.mark.parametrize(
    ("spec", "entry"), [("cfg", ClassifierFree), ("smoothness", Potential), ("total-variation", Potential)]
)
def test_a_name_is_a_guidance_that_samples(digits, spec, entry):
    model = load(digits)
    steering = guide(spec, model, label="3", strength=Strength(scale=1.5))
    assert isinstance(steering.wrap(model), entry)
    x = model.draw(3, label=steering.label, wrap=steering.wrap)
    assert torch.isfinite(x).all()
    assert steering.labels(model, 3).tolist() == [3, 3, 3]


@pytest.mark.parametrize("label", ["3", None, "each"])
def test_a_classifier_guides_an_unconditional_denoiser(digits, labeller, label):
    model = load(digits)
    steering = guide(f"classifier:{labeller}", model, label=label, strength=Strength(scale=2.0))
    guided = steering.wrap(model)
    assert isinstance(guided, Classifier)
    condition = model.condition(3, steering.label, None, 0)
    bound = guided if condition is None else guided.given(condition)
    assert bound.label.expand(3).tolist() == ([3, 3, 3] if label == "3" else [0, 1, 2])
    assert bound.inner is model
    x = model.draw(3, label=steering.label, wrap=steering.wrap)
    assert torch.isfinite(x).all()
    assert not torch.allclose(x, model.draw(3, label="none"))
    assert steering.labels(model, 3).tolist() == ([3, 3, 3] if label == "3" else [0, 1, 2])


def test_a_model_guides_itself_away_from_a_worse_one(digits):
    model = load(digits)
    steering = guide(f"auto:{digits}", model, label="1", strength=Strength(scale=2.0))
    assert isinstance(steering.wrap(model), Auto)
    # the worse one is the same here, so that there is nothing to move away from
    x = model.draw(2, label=steering.label, wrap=steering.wrap)
    assert torch.allclose(x, model.draw(2, label="1"), atol=1e-5)


def test_a_run_guides_itself_away_from_its_own_beginning(short_run):
    model, first = load(short_run), earliest(short_run)
    assert first.summary == {"steps": 2}
    wrap = guide("auto", model, label="1", strength=Strength(scale=2.0), run=short_run).wrap
    x, t = torch.ones(1, *model.spec.shape), 0.5
    better, worse = model(x, t).mean, first(x, t).mean
    assert torch.allclose(wrap(model)(x, t).mean, 2 * better - worse, atol=1e-5)
    assert not torch.equal(better, worse)


def test_a_named_prior_has_its_own_options(digits, tmp_path):
    model = load(digits)
    grey = guide("mean-colour", model, options={"colour": "0.5"}).wrap(model)
    assert grey.reward == MeanColour(colour=(0.5,))
    box = guide("region-average", model, options={"box": "0,0,4,8", "value": "1"}).wrap(model)
    assert box.reward == RegionAverage(box=(0, 0, 4, 8), value=1.0)
    np.save(tmp_path / "digit.npy", np.full((8, 8), 12.0))
    near = guide("closeness", model, options={"reference": str(tmp_path / "digit.npy")}).wrap(model)
    assert torch.allclose(near.reward.reference, torch.full((1, 8, 8), 0.5))


def test_a_product_takes_labels_and_models_with_weights(digits):
    model = load(digits)
    steering = guide(f"product:3=2,5=-0.5,{digits}", model, strength=Strength(scale=1.5))
    guided = steering.wrap(model)
    assert isinstance(guided, Product)
    assert guided.weights == (2.0, -0.5, 1.0)
    assert steering.labels(model, 2) is None
    assert torch.isfinite(model.draw(2, label=steering.label, wrap=steering.wrap)).all()


def test_a_classifier_is_kept_and_read_back(labeller):
    model = load_classifier(labeller)
    assert model.spec.classes == tuple("0123456789")
    assert [ratio for ratio, _ in model.summary["held_out"]] == [0.0, 0.5, 1.0, 2.0, 5.0]
    again = load_classifier(labeller)
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.log_probs(x, 0.5), again.log_probs(x, 0.5))
    assert torch.allclose(model.log_probs(x).exp().sum(1), torch.ones(4))


def test_a_classifier_reads_the_same_of_every_schedule(labeller, digits):
    """x_t of any schedule, divided by α, is x_0 plus noise of σ/α: that is all the classifier sees."""
    model, labels = load(digits), load_classifier(labeller)
    x0 = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    schedule = model.process.schedule
    t = 0.4
    ratio = schedule.sigma(t) / schedule.alpha(t)
    on_process = labels.on(model.process)(schedule.alpha(t) * x0, t).log_softmax(1)
    assert torch.allclose(on_process, labels.log_probs(x0, ratio), atol=1e-4)


def test_a_classifier_is_told_of_the_noise_levels_alone_that_it_has_seen(labeller, digits):
    model, labels = load(digits), load_classifier(labeller)
    x0 = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(labels.log_probs(x0, 0.0), labels.log_probs(x0, 0.01), atol=1e-2)
    on_process = labels.on(model.process)(x0, 1e-9).log_softmax(1)
    assert torch.allclose(on_process, labels.log_probs(x0, 0.0), atol=1e-3)
    # at the end of time there is but noise, of whatever level
    assert torch.allclose(labels.log_probs(1e4 * x0, 1e4), labels.log_probs(50 * x0, 50.0), atol=1e-3)


@pytest.mark.parametrize(
    ("spec", "label", "strength", "text"),
    [
        ("cfq", None, {}, "did you mean 'cfg'"),
        ("classifier", "3", {}, "needs a folder: classifier:RUN"),
        ("cfg", "none", {}, "leaves nothing to steer to"),
        ("cfg", "3", {"negative": "eleven"}, "unknown label 'eleven'"),
        ("smoothness", None, {"rescale": 0.5}, "--guide.rescale is an option of --guide cfg"),
        ("region-average", None, {"negative": "3"}, "--guide.negative is an option of --guide cfg"),
        ("closeness", None, {}, "--guide closeness needs --guide.reference"),
        ("product", None, {}, "needs parts, each a label or a folder"),
        ("product:3", "3", {}, "names its labels itself"),
        ("product:eleven", None, {}, "unknown part of a product"),
        ("product:3=much", None, {}, "a weight is a number, not 'much'"),
        ("auto", None, {}, "has no early resume point"),
        ("classifier:{digits}", "3", {}, "is a model, but no classifier"),
        ("classifier:{labeller}", "eleven", {}, "unknown label 'eleven'"),
        ("classifier:nowhere", "3", {}, "'nowhere' is not a classifier"),
    ],
)
def test_what_cannot_guide_is_one_clear_line(digits, labeller, spec, label, strength, text):
    spec = spec.format(digits=digits, labeller=labeller)
    with pytest.raises(UserError) as caught:
        guide(spec, load(digits), label=label, strength=Strength(**strength), run=digits)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_option_of_another_guidance_is_refused(digits):
    with pytest.raises(UserError, match=r"--guide\.box is an option of a named prior, not of 'cfg'"):
        guide("cfg", load(digits), label="3", options={"box": "0,0,1,1"})
    with pytest.raises(UserError, match="'box'"):
        guide("smoothness", load(digits), options={"box": "0,0,1,1"})


@pytest.mark.parametrize("wrong", [{"scale": float("nan")}, {"low": 2.0, "high": 1.0}, {"rescale": 2.0}])
def test_a_strength_out_of_range_is_refused(wrong):
    with pytest.raises(UserError):
        Strength(**wrong)


def test_a_model_without_labels_takes_no_classifier_free_guidance(unlabelled, labeller):
    with pytest.raises(UserError, match="trained without labels"):
        guide("cfg", load(unlabelled), label="3")
    with pytest.raises(UserError, match="the classifier"):
        guide(f"classifier:{labeller}", load(unlabelled), label="3")
