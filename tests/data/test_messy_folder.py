"""A folder as users have them, with a manifest of what each of its 91 files is; and real sets of other kinds."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from reverie.data import open_data
from reverie.data.decode import read_picture
from reverie.data.fitting import Plan

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not (SHARED / "messy").is_dir(), reason="the messy folder is not beside the project")
WORDS = {  # what the reason must say of each broken file
    "broken/truncated.jpg": "truncated",
    "broken/truncated.png": "truncated",
    "broken/zero_bytes.jpg": "0 bytes",
    "broken/actually_text.png": "text",
    "broken/header_only.jpg": "cut off",
    "broken/html_error_page.jpg": "HTML",
    "broken/huge_header.png": "megapixels",
    "broken/random_bytes.webp": "not a picture",
}


@pytest.fixture(scope="module")
def messy():
    return open_data(SHARED / "messy")


@pytest.fixture(scope="module")
def manifest():
    with open(SHARED / "messy_manifest.csv", encoding="utf-8", newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def test_every_file_is_used_or_skipped_as_the_manifest_says(messy, manifest):
    used = {p for p, row in manifest.items() if row["expected"] in ("ok", "ok-content", "lenient", "bad-late")}
    assert set(messy.names) == used
    assert {name for name, _ in messy.report.unreadable} == {p for p, r in manifest.items() if r["expected"] == "bad"}
    assert {name for name, _ in messy.report.ignored} == {p for p, r in manifest.items() if r["expected"] == "skip"}
    report = messy.report
    assert (report.found, report.used, report.skipped) == (len(manifest), len(used), len(manifest) - len(used))
    assert report.found == report.used + report.skipped


def test_every_reason_is_the_right_one(messy):
    reasons = dict(messy.report.unreadable)
    assert reasons.keys() == WORDS.keys()
    for name, word in WORDS.items():
        assert word in reasons[name]


def test_formats_and_duplicates_are_counted_exactly(messy, manifest):
    formats: dict[str, int] = {}
    for name in messy.names:
        formats[manifest[name]["format"]] = formats.get(manifest[name]["format"], 0) + 1
    assert dict(messy.report.formats) == formats
    assert messy.report.duplicates == [["duplicates/a.jpg", "duplicates/b.jpg"]]


def test_remarks_name_orientation_animation_and_checksum(messy):
    remarks = messy.report.remarks
    turned = next(names for what, names in remarks.items() if "EXIF" in what)
    assert turned == [f"exif/phone_orientation_{k}.jpg" for k in range(2, 9)]
    assert any("checksum" in what and names == ["broken/bad_crc.png"] for what, names in remarks.items())
    assert any("cut off" in what and names == ["broken/truncated.gif"] for what, names in remarks.items())
    assert any("missing/nowhere.jpg" in note for note in messy.report.notes)
    assert any("empty_class" in note for note in messy.report.notes)


@pytest.mark.parametrize("k", range(1, 9))
def test_orientation_is_obeyed_pixel_by_pixel(k):
    path = SHARED / "messy" / "exif" / f"phone_orientation_{k}.jpg"
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(read_picture(path.read_bytes()).pixels, upright)


@pytest.mark.parametrize("name", ["rgba_soft_edge.png", "rgba_hidden_colour.png", "palette_transparent.png"])
def test_transparency_is_laid_on_white_pixel_by_pixel(name):
    picture = read_picture((SHARED / "messy" / "modes" / name).read_bytes())
    assert picture.head.mode == "RGBA"
    size = picture.pixels.shape[:2]
    got = Plan("RGB", size).apply(picture).astype(float)
    colour, alpha = picture.pixels[..., :3].astype(float), picture.pixels[..., 3:].astype(float) / 255
    assert np.abs(got - (colour * alpha + 255 * (1 - alpha))).max() <= 0.5001


def test_sixteen_bits_are_kept():
    read = read_picture((SHARED / "messy" / "modes" / "gray16.png").read_bytes()).pixels
    with Image.open(SHARED / "messy" / "modes" / "gray16.png") as image:
        assert np.array_equal(read, np.asarray(image))
    assert len(np.unique(read_picture((SHARED / "messy" / "modes" / "rgb48.png").read_bytes()).pixels & 255)) > 100


def test_rows_are_finite_and_in_range(messy):
    rows = messy.rows(torch.arange(len(messy)))
    assert bool(((rows >= -1) & (rows <= 1)).all())


def test_mnist_has_its_official_test_part():
    data = open_data(SHARED / "mnist")
    train, held = data.split()
    assert (len(train), len(held)) == (60_000, 10_000)
    assert data.spec.shape == (1, 28, 28)
    assert torch.bincount(data.labels(train)).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_heart_beats_are_two_leads_with_their_symbols():
    data = open_data(SHARED / "signals" / "mitbih-100-beats.npz")
    assert (data.spec.kind, data.spec.shape) == ("signal", (2, 256))
    assert data.report.labels == {"A": 33, "N": 2237, "V": 1}


def test_gun_point_has_two_classes_and_a_test_part():
    data = open_data(SHARED / "signals" / "GunPoint_TRAIN.ts")
    assert (data.spec.kind, data.spec.shape, len(data)) == ("signal", (1, 150), 200)
    assert [len(part) for part in data.split()] == [50, 150]


@pytest.mark.parametrize("name", ["wine", "protein", "energy"])
def test_tables_have_the_columns_that_numpy_reads(name):
    path = SHARED / "tabular" / f"{name}.csv.gz"
    data, expected = open_data(path), np.loadtxt(path, delimiter=",")
    assert data.spec.kind == "table"
    assert np.array_equal(data.native(torch.arange(len(data))).numpy(), expected)
