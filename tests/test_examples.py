"""The examples run, stay short, and give the numbers that they claim."""

import importlib.util
import math
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_says_what_it_shows(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert text.startswith('"""')
    assert "def main(" in text


def test_sampling_with_an_oracle_comes_close_to_real_samples(monkeypatch):
    module = example("oracle_sampling")
    monkeypatch.setattr(module, "COUNT", 1000)
    found = module.main()
    # E² of two samples of one law has standard deviation about 1/N times the spread: a tenth of a percent here
    assert abs(found["two real samples"]) < 0.01
    assert found["Ancestral, 100 steps"] < 0.01
    assert all(value < 0.05 for value in found.values())


def test_training_on_points_learns_in_seconds():
    found, floor = example("train_points").main(steps=150, batch=256)
    # an untrained model's samples are N(0, I): about 0.04 from the moons
    assert floor < 0.005
    assert found < 0.03


def test_a_schedule_of_one_s_own_is_sampled_exactly():
    found = example("custom_schedule").main()
    assert found["diffusion2"] == pytest.approx(-2 * found["drift"], rel=1e-9)
    assert found["mean"] == pytest.approx(0.3, abs=5 * 0.5 / math.sqrt(20_000))
    assert found["std"] == pytest.approx(0.5, rel=5 / math.sqrt(40_000))


def test_a_sampler_of_one_s_own_has_its_order():
    assert example("custom_sampler").main() == pytest.approx(2, abs=0.1)


def test_the_exact_laws_of_a_process_hold():
    found = example("process_laws").main()
    assert found["Bayes: largest difference in nats"] < 1e-10
    assert found["reverse variance, N(0, I) data"] == pytest.approx(found["beta"], rel=1e-9)
    assert found["reverse variance, known x0"] == pytest.approx(found["beta-tilde"], rel=1e-9)
