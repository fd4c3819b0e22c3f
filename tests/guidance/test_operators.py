"""Every operator: the adjoint is the transpose, the pseudo-inverse inverts, and what does not fit is refused."""

import re

import pytest
import torch

from reverie.core.rng import Rng
from reverie.guidance import Blur, Grey, Identity, Linear, Mask, Matrix, Observation, Pool

SHAPE = (3, 8, 8)
OPERATORS = {
    "identity": Identity(SHAPE),
    "mask": Mask.random(SHAPE, share=0.4),
    "box": Mask.box(SHAPE, (1, 2, 4, 3)),
    "half": Mask.half(SHAPE, "top"),
    "pool": Pool(2, SHAPE),
    "grey": Grey(SHAPE, weights=(0.299, 0.587, 0.114)),
    "gaussian blur": Blur.gaussian(0.8, SHAPE),
    "motion blur": Blur.motion(5, SHAPE, degrees=30),
    "sensing": Matrix.random(0.2, SHAPE),
    "matrix": Matrix(Rng(4).normal(torch.empty(1, 7, 192, dtype=torch.float64))[0], SHAPE),
    "of the user": Linear(lambda x: x[:, :, ::2].diff(dim=3), SHAPE),
}


def examples(*shape: int, seed: int = 0) -> torch.Tensor:
    return Rng(seed).normal(torch.empty(*shape, dtype=torch.float64))


@pytest.mark.parametrize("name", OPERATORS)
def test_the_adjoint_is_the_transpose(name):
    operator, x = OPERATORS[name], examples(4, *SHAPE)
    y = examples(*operator.apply(x).shape, seed=1)
    there, back = (operator.apply(x) * y).flatten(1).sum(1), (x * operator.adjoint(y)).flatten(1).sum(1)
    assert torch.allclose(there, back, rtol=1e-10, atol=1e-10)
    with torch.inference_mode():
        assert torch.equal(operator.adjoint(y), operator.adjoint(y.clone()))


@pytest.mark.parametrize("name", OPERATORS)
def test_the_system_of_the_observation_is_solved(name):
    operator = OPERATORS[name]
    r = operator.apply(examples(4, *SHAPE))
    gain = torch.tensor([0.1, 1.0, 2.0, 5.0], dtype=torch.float64)
    u = operator.solve(r, gain, 0.3)
    shaped = gain.reshape(-1, *(1,) * (r.dim() - 1))
    assert torch.allclose(shaped * operator.apply(operator.adjoint(u)) + 0.3 * u, r, rtol=0, atol=1e-5)
    alone = torch.cat([operator.solve(r[i : i + 1], float(gain[i]), 0.3) for i in range(4)])
    assert torch.allclose(u, alone, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in OPERATORS if "blur" not in name])
def test_the_smallest_explanation_explains_the_observation(name):
    operator = OPERATORS[name]
    y = operator.apply(examples(3, *SHAPE))
    assert torch.allclose(operator.apply(operator.inverse(y)), y, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", OPERATORS)
def test_a_noiseless_observation_is_met_in_the_end(name):
    if "blur" in name:
        pytest.skip("a blur is not inverted to rounding")
    operator, x, truth = OPERATORS[name], examples(3, *SHAPE), examples(3, *SHAPE, seed=2)
    observation = Observation(operator, operator.apply(truth))
    settled = observation.settle(x)
    assert torch.allclose(operator.apply(settled), observation.y, rtol=0, atol=1e-4)
    if isinstance(operator, Mask):
        assert torch.equal(operator.apply(settled), observation.y)
        assert torch.equal(settled[:, ~operator.mask], x[:, ~operator.mask])
    assert Observation(operator, observation.y, noise=0.1).settle(x) is x


def test_a_blur_keeps_the_mean_of_a_flat_picture_and_motion_follows_its_angle():
    flat = torch.full((1, *SHAPE), 0.7).double()
    for blur in (OPERATORS["gaussian blur"], OPERATORS["motion blur"]):
        assert torch.allclose(blur.apply(flat), flat)
    point = torch.zeros(1, 1, 9, 9).double()
    point[0, 0, 4, 4] = 1
    level = Blur.motion(5, (1, 9, 9)).apply(point)[0, 0]
    assert torch.allclose(level.sum(1), torch.eye(9).double()[4], atol=1e-12)
    assert float(level[4].max()) < 0.25


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Mask(torch.ones(4, 4), (1, 8, 8)), "a mask of 4×4 does not fit examples of 1×8×8"),
        (lambda: Mask.box((1, 8, 8), (4, 4, 6, 2)), "does not lie in an image of 8×8"),
        (lambda: Mask.half((1, 8, 8), "inner"), "left, right, top or bottom, not 'inner'"),
        (lambda: Pool(3, (1, 8, 8)), "blocks of 3 do not divide examples of 1×8×8"),
        (lambda: Grey((1, 8, 8)), "at least 2 channels; the shape is 1×8×8"),
        (lambda: Blur.gaussian(-1.0, (1, 8, 8)), "above 0, not -1.0"),
        (lambda: Blur.gaussian(1.0, (64,)), "a blur needs images"),
        (lambda: Matrix(torch.ones(2, 3), (4,)), "a matrix of 2×3 does not fit examples of 4"),
        (lambda: Matrix.random(1.5, (4,)), "between 1/4 and 1, not 1.5"),
        (lambda: Observation(Pool(2, (1, 8, 8)), torch.ones(1, 1, 8, 8)), "the operator gives (1, 4, 4)"),
        (lambda: Observation(Identity((2,)), torch.ones(1, 2), noise=-1.0), "0 or above, not -1.0"),
        (lambda: Observation(Identity((2,)), torch.ones(1, 2)).log_prob(torch.ones(1, 2)), "no density"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(make, text):
    with pytest.raises(ValueError, match=re.escape(text)) as caught:
        make()
    assert "\n" not in str(caught.value)
