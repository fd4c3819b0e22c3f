"""Guidance by name: what each name does to a model, and what it refuses in one line."""

import pytest
import torch

from reverie.core.errors import UserError
from reverie.guidance import Auto, Classifier, ClassifierFree, Potential
from reverie.training.classifier import load_classifier
from reverie.training.guides import Strength, guide
from reverie.training.model import load


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


def test_a_classifier_is_kept_and_read_back(labeller):
    model = load_classifier(labeller)
    assert model.spec.classes == tuple("0123456789")
    assert [ratio for ratio, _ in model.summary["held_out"]] == [0.0, 0.5, 1.0, 2.0]
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


@pytest.mark.parametrize(
    ("spec", "label", "strength", "text"),
    [
        ("cfq", None, {}, "did you mean 'cfg'"),
        ("classifier", "3", {}, "needs a folder: classifier:RUN"),
        ("cfg", "none", {}, "leaves nothing to steer to"),
        ("cfg", "3", {"negative": "eleven"}, "unknown label 'eleven'"),
        ("smoothness", None, {"rescale": 0.5}, "--guide.rescale is an option of --guide cfg"),
        ("region-average", None, {"negative": "3"}, "--guide.negative is an option of --guide cfg"),
        ("closeness", None, {}, "--guide closeness"),
        ("classifier:{digits}", "3", {}, "is a model, but no classifier"),
        ("classifier:{labeller}", "eleven", {}, "unknown label 'eleven'"),
        ("classifier:nowhere", "3", {}, "'nowhere' is not a classifier"),
    ],
)
def test_what_cannot_guide_is_one_clear_line(digits, labeller, spec, label, strength, text):
    spec = spec.format(digits=digits, labeller=labeller)
    with pytest.raises(UserError) as caught:
        guide(spec, load(digits), label=label, strength=Strength(**strength))
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"scale": float("nan")}, {"low": 2.0, "high": 1.0}, {"rescale": 2.0}])
def test_a_strength_out_of_range_is_refused(wrong):
    with pytest.raises(UserError):
        Strength(**wrong)


def test_a_model_without_labels_takes_no_classifier_free_guidance(unlabelled, labeller):
    with pytest.raises(UserError, match="trained without labels"):
        guide("cfg", load(unlabelled), label="3")
    with pytest.raises(UserError, match="the classifier"):
        guide(f"classifier:{labeller}", load(unlabelled), label="3")
