"""From pictures to a trained model's samples: as they were drawn, never their mirror image, in the colour they had."""

import numpy as np
import pytest
import torch
from made_data import write

from reverie.data import open_data, save
from reverie.data.builtin import GLYPHS
from reverie.data.encode import encode_picture
from reverie.training.model import load
from reverie.training.session import Session

NETWORK = {"name": "unet", "width": 32, "multipliers": [1, 2], "depth": 1, "attention": [-1], "patch": 2}
PLACES = [(top, left) for top in (0, 1) for left in (0, 1)]


def glyph(letter, top, left, ink=1.0):
    """A letter of 10×10 pixels at one of four places of 12×12 black pixels."""
    stamp = np.array([[c == "#" for c in row] for row in GLYPHS[letter]], float).repeat(2, 0).repeat(2, 1)
    canvas = np.zeros((12, 12))
    canvas[top : top + 10, left : left + 10] = ink * stamp
    return canvas


def likeness(pictures, *, mirrored):
    """The correlation of pictures (N, 12, 12) with the glyph, or the mirrored glyph, that is nearest."""
    shapes = np.stack([glyph(letter, *place) for letter in GLYPHS for place in PLACES])
    shapes = shapes[..., ::-1] if mirrored else shapes
    x, y = (v.reshape(len(v), -1) - v.reshape(len(v), -1).mean(1, keepdims=True) for v in (pictures, shapes))
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
    return (x @ y.T).max(1)


def mirrored_share(pictures):
    return float((likeness(pictures, mirrored=True) >= likeness(pictures, mirrored=False)).mean())


def glyphs(folder, *, mirror=False):
    """Twenty PNGs of every letter at every place, of varying grey; `mirror` turns every second one over."""
    rng = np.random.default_rng(0)
    every = [(letter, *place) for letter in GLYPHS for place in PLACES] * 20
    for i, (letter, top, left) in enumerate(every):
        picture = glyph(letter, top, left, rng.uniform(160, 255)).round().astype(np.uint8)
        picture = np.ascontiguousarray(picture[:, ::-1]) if mirror and i % 2 else picture
        write(folder / letter / f"{i}.png", encode_picture(picture, "png"))
    return folder


def samples(data, run, *, count, steps):
    """Samples of a small model, saved as they would be and read again, (N, C, H, W)."""
    training = {"steps": steps, "batch": 64, "previews": 0, "checkpoints": 0}
    assert Session.begin(str(data), {"training": training, "network": NETWORK}, path=run).go() == 0
    model = load(run)
    save(model.draw(count, seed=1), model.spec, run / "samples", labels=model.labels(count, None))
    return open_data(run / "samples").native(torch.arange(count)).double().numpy()


def test_glyphs_are_never_mirrored(tmp_path):
    native = open_data(glyphs(tmp_path)).native(torch.arange(400))[:, 0].double().numpy()
    assert likeness(native, mirrored=False).min() > 1 - 1e-6
    assert likeness(native, mirrored=True).max() < 0.7
    assert mirrored_share(native[..., ::-1]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("mirror", [False, True], ids=["as they are", "half of them mirrored"])
def test_samples_of_glyphs_are_never_mirrored(mirror, tmp_path):
    """400 samples, none of which a mirror image fits better; a model of half-mirrored data must not pass."""
    x = samples(glyphs(tmp_path / "set", mirror=mirror), tmp_path / "run", count=400, steps=1200)[:, 0]
    own, other = likeness(x, mirrored=False), likeness(x, mirrored=True)
    if mirror:
        assert 0.3 < mirrored_share(x) < 0.7
    else:
        assert mirrored_share(x) == 0
        assert np.quantile(own, 0.05) > 0.9
        assert other.max() < 0.7


def hue(folder):
    """Pictures of one colour, lighter and darker, with grain."""
    rng = np.random.default_rng(3)
    for i in range(500):
        noise = rng.normal(0, 12, (16, 16, 3)) + rng.normal(0, 20)
        picture = (np.array([200, 90, 30]) + noise).clip(0, 255).astype(np.uint8)
        write(folder / f"{i}.png", encode_picture(picture, "png"))
    return folder


@pytest.mark.slow
def test_samples_of_one_hue_have_its_channel_means(tmp_path):
    x = samples(hue(tmp_path / "set"), tmp_path / "run", count=400, steps=500)
    means = open_data(tmp_path / "set").native(torch.arange(500)).double().mean((0, 2, 3)).numpy() / 255
    assert np.abs(x.mean((0, 2, 3)) / 255 - means).max() < 0.02
    assert np.abs(x.mean((0, 2, 3))[::-1] / 255 - means).max() > 0.2  # blue for red would be seen
