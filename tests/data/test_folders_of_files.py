"""Folders of pictures, sounds and arrays: labels, conditions, mixed sizes, and files that change under way."""

import numpy as np
import pytest
import torch
from made_data import COUNT, pixels, png, sounds, write

from reverie.core.errors import UserError
from reverie.data import open_data
from reverie.data.encode import encode_picture


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def folder_of(tmp_path, rng, names, mode="L", size=(6, 7)):
    for name in names:
        write(tmp_path / name, png(rng, mode, size))
    return tmp_path


def test_pixels_are_the_files_own_without_flip_crop_or_resize(tmp_path, rng):
    originals = [pixels(rng, "RGB", (11, 5)) for _ in range(COUNT)]
    for i, original in enumerate(originals):
        write(tmp_path / f"{i:02d}.png", encode_picture(original, "png"))
    native = open_data(tmp_path).native(torch.arange(COUNT)).numpy()
    assert np.array_equal(native, np.stack(originals).transpose(0, 3, 1, 2))


def test_class_folders_give_labels_by_name(tmp_path, rng):
    data = open_data(folder_of(tmp_path, rng, [f"{c}/{i}.png" for c in ("dog", "cat") for i in range(3)]))
    assert data.spec.classes == ("cat", "dog")
    assert data.report.labels == {"cat": 3, "dog": 3}
    assert [data.spec.classes[k] for k in data.labels(torch.arange(6))] == ["cat"] * 3 + ["dog"] * 3


def test_folders_that_all_share_say_nothing(tmp_path, rng):
    names = [f"data/images/{c}/deep/{i}.png" for c in "ab" for i in range(3)]
    assert open_data(folder_of(tmp_path, rng, names)).spec.classes == ("a", "b")


def test_a_flat_folder_has_no_labels(tmp_path, rng):
    data = open_data(folder_of(tmp_path, rng, [f"{i}.png" for i in range(5)]))
    assert data.labels(torch.arange(5)) is None
    assert data.spec.classes == ()


def test_a_table_beside_pictures_gives_labels_and_conditions(tmp_path, rng):
    folder_of(tmp_path, rng, [f"p{i}.png" for i in range(4)])
    write(tmp_path / "t.csv", "name,kind,age,weight\np0.png,x,1,5\np1.png,y,2,5\np2,x,3,9\n./p3.png,y,4,9\n")
    data = open_data(tmp_path, label="kind", condition="age,weight")
    assert data.spec.classes == ("x", "y")
    assert data.labels(torch.arange(4)).tolist() == [0, 1, 0, 1]
    assert data.spec.conditions == ("age", "weight")
    expected = torch.tensor([[-1.5, -1], [-0.5, -1], [0.5, 1], [1.5, 1]]) / torch.tensor([1.25**0.5, 1.0])
    assert torch.allclose(data.condition(torch.arange(4)), expected.float())
    assert torch.allclose(data.spec.standardise({"age": 4, "weight": 9}), expected[3].float())


def test_pictures_without_a_row_are_named(tmp_path, rng):
    folder_of(tmp_path, rng, [f"p{i:02d}.png" for i in range(20)])
    rows = "".join(f"p{i:02d}.png,{i % 2}\n" for i in range(19))
    write(tmp_path / "labels.csv", "file,label\n" + rows)
    data = open_data(tmp_path)
    assert data.report.unreadable == [("p19.png", "has no row in labels.csv")]
    assert len(data) == 19


def test_a_column_that_is_not_there_suggests_the_nearest(tmp_path, rng):
    folder_of(tmp_path, rng, [f"p{i}.png" for i in range(3)])
    write(tmp_path / "t.csv", "file,species\n" + "".join(f"p{i}.png,x\n" for i in range(3)))
    with pytest.raises(UserError, match="did you mean 'species'"):
        open_data(tmp_path, label="specie")


def test_mixed_sizes_are_fitted_and_said(tmp_path, rng):
    for i in range(COUNT):
        write(tmp_path / f"{i}.png", png(rng, "RGB", (20 + i, 30)))
    data = open_data(tmp_path)
    assert data.spec.shape[1] == data.spec.shape[2]
    assert any("fitted" in note and f"{COUNT} different sizes" in note for note in data.report.notes)
    asked = open_data(tmp_path, size="16x24")
    assert asked.spec.shape == (3, 16, 24)
    with pytest.raises(UserError, match="HEIGHTxWIDTH"):
        open_data(tmp_path, size="large")


def test_a_fit_covers_the_size_and_keeps_proportions(tmp_path):
    """A picture that is left half black and right half white stays so, without a mirror image."""
    for i in range(4):
        picture = np.zeros((40 + 20 * i, 80), np.uint8)
        picture[:, 40:] = 255
        write(tmp_path / f"{i}.png", encode_picture(picture, "png"))
    native = open_data(tmp_path, size="32").native(torch.arange(4)).float()
    assert bool((native[..., :12] < 30).all())
    assert bool((native[..., 20:] > 225).all())


def test_one_hue_keeps_its_channel_means(tmp_path, rng):
    shade = np.array([200, 90, 30])
    for i in range(COUNT):
        noise = rng.normal(0, 8, (8 + i, 9, 3))
        write(tmp_path / f"{i}.png", encode_picture((shade + noise).clip(0, 255).astype(np.uint8), "png"))
    data = open_data(tmp_path)
    means = data.native(torch.arange(COUNT)).float().mean((0, 2, 3)) / 255
    assert torch.allclose(means, torch.tensor(shade).float() / 255, atol=0.02)


def too_large(monkeypatch):
    """Make every set larger than memory, so that files are read again when asked for."""
    monkeypatch.setattr("reverie.data.files.budget", lambda: 300)


def test_streamed_rows_equal_those_in_memory(tmp_path, rng, monkeypatch):
    folder_of(tmp_path, rng, [f"{'ab'[i % 2]}/{i}.png" for i in range(30)], "RGB")
    held = open_data(tmp_path)
    too_large(monkeypatch)
    streamed = open_data(tmp_path)
    assert type(streamed) is not type(held)
    index = torch.tensor([4, 4, 29, 0, 17])
    streamed.ahead(torch.tensor([17, 3]))
    assert torch.equal(streamed.rows(index), held.rows(index))
    assert torch.equal(streamed.labels(index), held.labels(index))
    assert streamed.spec.scale == held.spec.scale
    assert np.allclose(streamed.spec.mean, held.spec.mean)
    assert any("larger than memory" in note for note in streamed.report.notes)


@pytest.mark.parametrize("change", ["vanish", "cut", "resize", "text"])
def test_files_that_change_under_way_are_replaced_and_said_once(change, tmp_path, rng, monkeypatch, capsys):
    folder_of(tmp_path, rng, [f"{i:02d}.png" for i in range(12)], "RGB")
    too_large(monkeypatch)
    data = open_data(tmp_path)
    following = data.rows(torch.tensor([6]))
    path = tmp_path / "05.png"
    path.unlink()
    if change != "vanish":
        whole = png(rng, "RGB", (9, 9))
        path.write_bytes({"cut": whole[:60], "resize": whole, "text": b"gone"}[change])
    for _ in range(2):
        assert torch.equal(data.rows(torch.tensor([5])), following)
    assert capsys.readouterr().err.count("05.png") == 1


def test_files_in_memory_do_not_care_what_happens_to_the_folder(tmp_path, rng):
    data = open_data(folder_of(tmp_path, rng, [f"{i}.png" for i in range(6)]))
    before = data.rows(torch.arange(6))
    for path in tmp_path.iterdir():
        path.unlink()
    assert torch.equal(data.rows(torch.arange(6)), before)


def test_the_order_of_a_listing_does_not_matter(tmp_path, rng, monkeypatch):
    import os

    folder_of(tmp_path, rng, [f"{'ba'[i % 2]}/{i}.png" for i in range(10)])
    first = open_data(tmp_path)
    scandir = os.scandir

    class Backwards:
        def __init__(self, path):
            self.entries = list(scandir(path))[::-1]

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            return None

    monkeypatch.setattr("reverie.data.sources.os.scandir", Backwards)
    second = open_data(tmp_path)
    assert second.names == first.names
    assert torch.equal(second.rows(torch.arange(10)), first.rows(torch.arange(10)))


def test_sounds_of_different_lengths_are_cut_to_the_shortest_and_it_is_said(tmp_path, rng):
    folder = sounds(2, 1)(tmp_path, rng)
    longer = (folder / "hi" / "0.wav").read_bytes()
    import wave

    with wave.open(str(folder / "hi" / "0.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(longer[44:] * 2)
    data = open_data(folder)
    assert data.spec.shape == (1, 200)
    assert any("lengths differ" in note for note in data.report.notes)
    assert data.spec.rate == 8000


def test_an_empty_folder_says_so(tmp_path):
    with pytest.raises(UserError, match="nothing to learn from"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("digit", "'digits'"), ("swissroll", "'swiss-roll'"), ("cats/no", "does not exist"), ("photoz", "photos")],
)
def test_an_unknown_name_or_path_suggests_the_nearest(name, hint, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=hint):
        open_data(name)


def test_a_folder_that_sample_made_is_read_without_its_sheet(tmp_path, rng):
    folder_of(tmp_path, rng, [f"{i:06d}.png" for i in range(5)] + ["sheet.png"])
    assert len(open_data(tmp_path)) == 6
    write(tmp_path / "sample.json", "{}")
    data = open_data(tmp_path)
    assert len(data) == 5
    assert data.report.found == data.report.used + data.report.skipped


def test_folders_of_samples_are_read_without_their_sheets(tmp_path, rng):
    names = [f"{k:04d}/{part}/{i:06d}.png" for k in (1, 2) for part in "ab" for i in range(3)]
    folder_of(tmp_path, rng, [*names, "0001/sheet.png", "0002/sheet.png", "0001/a/sheet.png"])
    for k in (1, 2):
        write(tmp_path / f"{k:04d}" / "sample.json", "{}")
    report = open_data(tmp_path).report
    assert report.used == 13  # a picture that is called a sheet is one only beside sample.json
    assert sorted({name for name, _ in report.ignored}) == [
        "0001/sample.json", "0001/sheet.png", "0002/sample.json", "0002/sheet.png",
    ]  # fmt: skip
