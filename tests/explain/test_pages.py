"""The pages of the theory show what they say: their own numbers are held against it."""

import pytest

from reverie import explain
from reverie.cli import explain as verb
from reverie.cli.main import main


def values(page: explain.Page, part: str) -> list[float]:
    return [value for name, value in page.numbers.items() if part in name]


def test_the_forward_page_finds_alpha():
    page = explain.forward()
    found, closed = values(page, "by regression"), values(page, "closed form")
    assert found == pytest.approx(closed, abs=0.03)


def test_the_reverse_step_is_nearly_gaussian_only_for_small_beta():
    apart = values(explain.reverse_step(), "total variation")
    assert apart[0] < 0.01
    assert apart == sorted(apart)
    assert apart[-1] > 0.1


def test_the_score_page_shows_one_constant_for_every_model():
    page = explain.score_matching()
    constants = values(page, "denoising − explicit")
    assert constants == pytest.approx([constants[0]] * 3, rel=0.03)
    assert values(page, "as a share")[0] < 0.1


def test_the_langevin_page_finds_the_weights_on_the_ladder_only():
    page = explain.annealed_langevin()
    ladder, alone = values(page, "share of the small mode")
    error = page.numbers["standard error"]
    assert abs(ladder - 0.2) < 4 * error
    assert abs(alone - 0.2) > 10 * error


def test_all_paths_end_in_the_same_law():
    page = explain.paths()
    chance = page.numbers["distance that chance alone exceeds once in a thousand"]
    assert all(value < 1.5 * chance for value in values(page, "end's law"))


def test_the_fokker_planck_page_keeps_the_mass_and_meets_the_marginals():
    page = explain.fokker_planck()
    assert values(page, "mass lost")[0] < 1e-10
    assert values(page, "forward equation")[0] < 0.005
    assert all(value < 0.03 for value in values(page, "backward equation"))


def test_chains_pay_for_taking_elements_one_by_one_the_less_the_more_steps():
    page = explain.chains()
    truth = values(page, "truth")[0]
    for name in ("uniform", "absorbing"):
        bounds = values(page, name)
        assert bounds[0] == pytest.approx(2 * truth, rel=0.05)
        assert bounds == sorted(bounds, reverse=True)
        assert truth < bounds[-1] < 1.1 * truth


def test_fine_detail_drowns_first_and_no_blur_is_the_gaussian_process():
    page = explain.blurring()
    times = values(page, "signal = noise")
    assert times == sorted(times, reverse=True)
    assert times[0] > times[-1]
    assert values(page, "largest difference")[0] < 1e-9
    assert values(page, "frequency 31")[0] < 0.1 * values(page, "power left at t = 0.5, frequency 1")[0]


def test_the_autoencoder_page_keeps_its_bounds_above_the_truth():
    numbers = explain.autoencoder().numbers
    truth, bound, tight, gap = (numbers[name] for name in list(numbers)[:2] + list(numbers)[-2:])
    assert truth - 0.03 < tight < bound
    assert bound - truth < 0.6
    assert 0.05 < gap < bound - truth + 0.05  # codes that say nothing have none


def test_the_verb_lists_the_pages_that_there_are_and_writes_a_picture(tmp_path, capsys):
    assert set(verb.PAGES.values()) == {name for name in explain.__all__ if name != "Page"}
    assert main(["explain", "reverse-step", "--out", str(tmp_path / "page.png")]) == 0
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert "total variation" in capsys.readouterr().out


def test_a_page_that_is_not_there_is_one_line_that_suggests(capsys):
    assert main(["explain", "foker-planck"]) == 2
    assert "did you mean 'fokker-planck'" in capsys.readouterr().err
