"""Features: the same on every machine, in any blocks, and refused where they mean nothing."""

from __future__ import annotations

import pytest
import torch

from reverie import metrics
from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.data import open_data
from reverie.evaluation import features, measures

SIGNS = "+++-+++--++--+++--++++-++++-+++-+--+"  # of the first four of the first layer's weights


def noise(*shape: int) -> torch.Tensor:
    return Rng(4).normal(torch.empty(*shape))


@pytest.mark.parametrize("shape", [(1, 40), (3, 8, 8), (1, 5, 6, 7), (2, 3)])
def test_the_random_network_reads_signals_pictures_and_volumes_in_any_blocks(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = noise(10, *shape)
    space = features.choose("random", x, None)
    whole = space.of(x)
    monkeypatch.setattr(features, "BLOCK", 3)
    assert torch.allclose(space.of(x), whole, rtol=1e-12)
    assert whole.shape == (10, features.DEPTH * features.WIDTH * 2 ** (len(shape) - 1))


def test_the_random_network_is_one_and_the_same_everywhere() -> None:
    """A single lit pixel shows the weights: their signs come from whole numbers, and these are they."""
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 1, 1] = 1.0
    first = features.choose("random", x, None).of(x)[0, : 4 * features.WIDTH]
    lit = (
        torch.nn.functional.conv2d(
            x.double(),
            Rng(0).fork("random features", 0).rademacher(torch.empty(features.WIDTH, 1, 3, 3, dtype=torch.float64)),
            padding=1,
        ).relu()
        * (2 / 9) ** 0.5
    )
    assert torch.allclose(first, torch.nn.functional.adaptive_avg_pool2d(lit, 2).flatten())
    signs = Rng(0).fork("random features", 0).rademacher(torch.empty(4, 1, 3, 3)).flatten().int()
    assert "".join("+" if s > 0 else "-" for s in signs.tolist()) == SIGNS


def test_features_are_chosen_by_what_the_data_are() -> None:
    labels = torch.arange(60) % 3
    assert features.choose("auto", noise(60, 2), labels).name == "values"
    assert features.choose("auto", noise(60, 1, 8, 8), labels).name == "classifier"
    assert features.choose("auto", noise(60, 1, 8, 8), None).name == "random"
    assert features.choose("auto", noise(60, 1, 40), None).name == "pca"
    with pytest.raises(UserError, match="pictures and signals"):
        features.choose("random", noise(60, 5), None)
    with pytest.raises(UserError, match="random"):
        features.choose("inception", noise(60, 5), None)


def test_pairs_of_letters_tell_text_from_a_gaussian_of_its_codes() -> None:
    data = open_data("text")
    x = data.rows(torch.arange(1200))
    space = features.choose("auto", x[:400], None, text=True)
    assert space.name == "pairs"
    real = space.of(x[400:800])
    fresh, gaussian = (space.of(y) for y in (x[800:], measures.gaussian_fit(x[:400], 400, 0)))
    floor, away = (metrics.energy_distance(y, real) for y in (fresh, gaussian))
    assert away > 10 * abs(floor)
    with pytest.raises(UserError, match="letters"):
        features.choose("pairs", noise(60, 1, 40), None)


def test_the_gaussian_fit_of_many_numbers_is_the_seeds_and_has_the_datas_leading_spreads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """100 numbers, of which 20 spread widely: more than the directions that are kept."""
    monkeypatch.setattr(measures, "LEADING", 32)
    spreads = torch.cat([torch.linspace(5, 10, 20), torch.full((80,), 0.1)]).double()
    x = (Rng(1).normal(torch.empty(300, 100, dtype=torch.float64)) * spreads + 3).float()
    one = measures.gaussian_fit(x, 4000, 0)
    torch.rand(1)  # whatever others have drawn meanwhile
    assert torch.equal(one, measures.gaussian_fit(x, 4000, 0))
    assert not torch.equal(one, measures.gaussian_fit(x, 4000, 1))
    torch.testing.assert_close(one.std(0)[:20], x.std(0)[:20], rtol=0.06, atol=0)  # five errors of 4000 draws
    assert float((one.mean(0) - x.mean(0)).abs().max()) < 5 * 10 / 4000**0.5
