"""Units there and back, what is refused when saving, what a person is shown, and other data for a model."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import npz, png, write

from reverie.core.errors import UserError
from reverie.data import Scale, Spec, as_saved, is_picture, load_like, open_data, save, to_picture
from reverie.data.encode import encode_picture
from reverie.data.measure import measure
from reverie.data.saving import folder_name, npy_bytes


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535), ("uint16", 4095), ("uint8", 16)])
def test_every_level_survives_the_round_trip(dtype, top):
    scale = Scale.bounded(0, top, dtype, bins=top + 1)
    levels = torch.arange(top + 1).to(getattr(torch, dtype))[:, None]
    assert torch.equal(scale.decode(scale.encode(levels)), levels)
    assert float(scale.encode(levels).min()) == -1
    assert float(scale.encode(levels).max()) == 1


@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6), value=st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_a_float_comes_back_within_rounding(low, width, value):
    scale = Scale.bounded(low, low + width, "float64")
    native = torch.tensor([[low + value * width]], dtype=torch.float64)
    assert abs(float(scale.decode(scale.encode(native)) - native)) <= 1e-7 * width + 1e-9 * abs(low)


def test_unbounded_values_are_never_clipped():
    scale = Scale((5.0,), (2.0,), dtype="float32")
    far = torch.tensor([[-50.0, 60.0]])
    assert scale.decode(far).tolist() == [[-95.0, 125.0]]


def test_bounded_values_are_clipped_and_snapped():
    scale = Scale.bounded(0, 1, "float32", bins=256)
    assert scale.decode(torch.tensor([[-3.0, 3.0, 0.001]])).tolist()[0][:2] == [0.0, 1.0]
    assert float(scale.decode(torch.tensor([[0.001]])) * 255) == pytest.approx(128, abs=1e-4)


def test_a_value_that_is_not_finite_is_never_saved():
    with pytest.raises(UserError, match="finite"):
        Scale().decode(torch.tensor([[float("nan")]]))


def test_moments_are_exact_far_from_zero():
    values = np.random.default_rng(0).normal(1e6, 1e-2, (500, 3, 4))
    stats = measure([values[:200], values[200:]], where="x")
    assert np.allclose(stats.std, values.std((0, 2)), rtol=1e-6)
    assert np.allclose(stats.mean, values.mean((0, 2)), rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_and_infinite_values_are_named_by_example(bad, tmp_path):
    values = np.zeros((9, 4), np.float32)
    values[3, 1] = bad
    with pytest.raises(UserError, match="example 3"):
        open_data(write(tmp_path / "x.npy", npy_bytes(values + np.arange(4))))


def test_values_that_would_overflow_are_refused(tmp_path):
    values = np.random.default_rng(0).normal(size=(9, 4)) * 1e200
    with pytest.raises(UserError, match="rescale"):
        open_data(write(tmp_path / "x.npy", npy_bytes(values)))


@pytest.mark.parametrize("values", [np.full((9, 8, 8), 7, np.uint8), np.tile([[0.0, 1.0, 2.0]], (9, 1))])
def test_constant_data_have_nothing_to_learn(tmp_path, values):
    with pytest.raises(UserError, match="nothing to learn"):
        open_data(write(tmp_path / "x.npy", npy_bytes(values)))


def test_constant_data_can_be_scored_by_a_model_of_others(tmp_path):
    rng = np.random.default_rng(0)
    spec = open_data(write(tmp_path / "x.npy", npy_bytes(rng.integers(0, 256, (9, 8, 8), np.uint8)))).spec
    data = load_like(write(tmp_path / "y.npy", npy_bytes(np.full((9, 8, 8), 7, np.uint8))), spec)
    assert data.spec.scale == spec.scale
    assert data.rows(torch.arange(9)).unique().numel() == 1


def test_a_constant_column_is_named_by_its_name(tmp_path):
    (tmp_path / "x.csv").write_text("height,unit,weight\n" + "".join(f"{k},1,{k * k % 7 + 0.5}\n" for k in range(50)))
    notes = open_data(tmp_path / "x.csv").report.notes
    assert any("constant: unit (always 1)" in note for note in notes), notes


def test_samples_as_saved_have_only_values_that_the_table_can_have(tmp_path):
    rows = "".join(f"{k % 3 / 2},{k},{'abc'[k % 3]},{k * k % 97 + 0.25}\n" for k in range(90))
    (tmp_path / "x.csv").write_text("few,whole,kind,number\n" + rows)
    data = open_data(tmp_path / "x.csv", label="none")
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(50, *data.spec.shape))).float()
    saved = as_saved(x, data.spec)
    native = dict(zip(data.spec.columns, data.spec.scale.decode(saved).double().round(decimals=4).T, strict=True))
    assert torch.isin(native["few"], torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)).all()
    assert torch.equal(native["whole"], native["whole"].round())
    one_hot = torch.stack([native[f"kind={letter}"] for letter in "abc"])
    assert torch.equal(one_hot.sort(0).values.unique(dim=1), torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64))
    assert (as_saved(saved, data.spec) - saved).abs().max() < 1e-5


def test_what_is_recognised_is_said(tmp_path):
    rng = np.random.default_rng(0)
    bytes_as_floats = rng.integers(0, 256, (9, 8, 8)).astype(np.float32)
    bytes_as_floats.flat[:2] = 0, 255
    data = open_data(write(tmp_path / "a.npy", npy_bytes(bytes_as_floats)))
    assert data.spec.scale.bins == 256
    assert any("0–255" in note for note in data.report.notes)
    constant = rng.normal(size=(9, 3, 8, 8)).astype(np.float32)
    constant[:, 1] = 4
    data = open_data(write(tmp_path / "b.npy", npy_bytes(constant)))
    assert any("constant: channel 1" in note for note in data.report.notes)
    assert torch.equal(data.native(torch.arange(9))[:, 1], torch.full((9, 8, 8), 4.0))
    tails = rng.standard_cauchy((900, 5)).astype(np.float32)
    data = open_data(write(tmp_path / "c.npy", npy_bytes(tails)))
    assert any("heavy tails" in note for note in data.report.notes)
    assert data.spec.scale.low is None


@pytest.mark.parametrize(("top", "said"), [(2**20, False), (2**30, True)])
def test_integers_that_32_bits_cannot_hold_are_said(top, said, tmp_path):
    values = np.random.default_rng(0).integers(-top, top, (9, 5)).astype(np.int32)
    data = open_data(write(tmp_path / "x.npy", npy_bytes(values)))
    assert any("3 millionths" in note for note in data.report.notes) is said
    back = data.spec.scale.decode(data.rows(torch.arange(9))).numpy().astype(np.int64)
    assert np.abs(back - values).max() <= 3e-6 * 2 * top


def test_signals_between_minus_3_and_7_come_back_in_their_units(tmp_path):
    time = np.linspace(0, 9, 100)
    values = (2 + 5 * np.sin(time + np.arange(20)[:, None])).astype(np.float32)
    data = open_data(write(tmp_path / "x.npy", npy_bytes(values)))
    assert data.spec.kind == "signal"
    paths = save(data.rows(torch.arange(20)), data.spec, tmp_path / "out")
    assert np.allclose(np.load(paths[0]), values, atol=1e-5)
    assert np.load(paths[0]).dtype == np.float32


def test_bounds_that_were_given_are_held_against_the_data(tmp_path):
    path = write(tmp_path / "x.npy", npy_bytes(np.random.default_rng(0).uniform(1, 9, (9, 4)).astype(np.float32)))
    assert (open_data(path, bounds="0,10").spec.scale.low, open_data(path, bounds=(0, 10)).spec.scale.high) == (0, 10)
    with pytest.raises(UserError, match="reach from"):
        open_data(path, bounds="2,3")
    with pytest.raises(UserError, match="LOW,HIGH"):
        open_data(path, bounds="3")


def test_nothing_is_overwritten(tmp_path):
    data = open_data("digits")
    x = data.rows(torch.arange(3))
    save(x, data.spec, tmp_path / "out")
    before = {p: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    with pytest.raises(UserError, match="not overwritten"):
        save(x, data.spec, tmp_path / "out", first=2)
    assert {p: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert save(x, data.spec, tmp_path / "out", first=3)[0].name == "000003.png"


def test_a_file_can_be_named_and_its_suffix_is_the_format(tmp_path):
    data = open_data("digits")
    x, labels = data.rows(torch.arange(3)), data.labels(torch.arange(3))
    assert save(x[:1], data.spec, tmp_path / "one.png") == [tmp_path / "one.png"]
    written = save(x, data.spec, tmp_path / "all.npy", labels=labels)
    assert written == [tmp_path / "all.npy", tmp_path / "all_labels.npy"]
    assert np.load(written[0]).shape == (3, 8, 8)
    with pytest.raises(UserError, match="name a folder"):
        save(x, data.spec, tmp_path / "three.png")
    with pytest.raises(UserError, match="format to save in"):
        save(x, data.spec, tmp_path / "x", format="jpeg2000")


def test_samples_of_another_shape_are_refused(tmp_path):
    with pytest.raises(UserError, match="shape"):
        save(torch.zeros(2, 3, 8, 8), open_data("digits").spec, tmp_path / "x")


ROWS = [
    (1.5, "a", 30, 0.25, "red"),
    (2.5, "b", 40, 0.5, "blue"),
    (0.5, "a", 50, 0.125, "red"),
    (3.5, "b", 60, 1, "blue"),
]


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_a_table_gets_labels_and_conditions_back_in_their_columns(header, suffix, tmp_path):
    names = ["width", "kind", "age", "dose", "colour"] if header or suffix == "jsonl" else ["0", "1", "2", "3", "4"]
    between = {"csv": ",", "tsv": "\t"}.get(suffix, "")
    lines = [between.join(map(str, row)) for row in ([names] if header else []) + ROWS]
    if suffix == "jsonl":
        lines = [json.dumps(dict(zip(names, row, strict=True))) for row in ROWS]
    path = write(tmp_path / f"t.{suffix}", "\n".join(lines))
    chosen = {"label": names[1], "condition": [names[3], names[2]]}
    data = open_data(path, **chosen)
    given = {names[2]: 45.0, names[3]: 0.75}
    first = torch.arange(3)
    written = save(data.rows(first), data.spec, tmp_path / "out", labels=data.labels(first), given=given)
    back = open_data(written[0], **chosen)
    assert back.spec.extra["order"] == names
    assert (back.spec.columns, back.spec.classes) == (data.spec.columns, data.spec.classes)
    assert torch.allclose(back.native(first), data.native(first), rtol=0, atol=1e-5)
    assert back.spec.condition_mean == (0.75, 45.0)
    assert "45.0" not in written[0].read_text()  # whole numbers stay whole
    alone = save(data.rows(first), data.spec, tmp_path / "alone")  # of what was not asked for nothing is made up
    assert len(open_data(alone[0]).spec.columns) == len(data.spec.columns)


def test_columns_of_few_values_keep_to_them_and_it_is_said(tmp_path):
    rng = np.random.default_rng(0)
    rows = [(rng.normal(), (-0.5, 0.25, 4)[i % 3], (1, 20, 40)[i % 3], rng.integers(1000)) for i in range(60)]
    path = write(tmp_path / "t.csv", "size,dose,grade,count\n" + "\n".join(",".join(map(str, row)) for row in rows))
    data = open_data(path)
    assert any("rounded to: dose (3), grade (3)" in note for note in data.report.notes)
    noisy = data.rows(torch.arange(60)) + 0.03 * torch.tensor(rng.normal(size=(60, 4))).float()
    saved = np.loadtxt(save(noisy, data.spec, tmp_path / "out")[0], delimiter=",", skiprows=1)
    assert np.array_equal(saved[:, 1:3], np.array(rows)[:, 1:3])
    assert len(np.unique(saved[:, 0])) == 60  # the others stay what they are
    assert np.array_equal(saved[:, 3], np.rint(saved[:, 3]))


def test_conditions_lie_beside_arrays_and_files(tmp_path):
    rng = np.random.default_rng(0)
    path = npz(tmp_path / "d.npz", x=rng.normal(size=(5, 6)), age=np.arange(5), place=rng.normal(size=(5, 2)))
    data = open_data(path, condition="age,place")
    given = {"age": 3.0, "place[0]": 0.5, "place[1]": -2.0}
    with np.load(save(data.rows(torch.arange(2)), data.spec, tmp_path / "a", given=given)[0]) as saved:
        assert saved["age"].tolist() == [3, 3]
        assert saved["age"].dtype == np.int64
        assert saved["place"].tolist() == [[0.5, -2.0]] * 2
    for i in range(4):
        write(tmp_path / "p" / f"{i}.png", png(rng, "L", (5, 6)))
    write(tmp_path / "p" / "t.csv", "file,age\n0.png,1\n1.png,2\n2.png,3\n3.png,4")
    data = open_data(tmp_path / "p", condition="age")
    save(data.rows(torch.arange(3)), data.spec, tmp_path / "b", given={"age": 2.5})
    back = open_data(tmp_path / "b", condition="age")
    assert (len(back), back.spec.condition_mean) == (3, (2.5,))


@pytest.mark.parametrize("name", ["../../etc", "a/b", ".hidden", "", "x" * 300, "nul\0", "..", "C:\\x"])
def test_class_names_become_folders_that_stay_inside(name):
    folder = folder_name(name)
    assert folder
    assert len(folder) <= 80
    assert "/" not in folder
    assert "\\" not in folder
    assert not folder.startswith(".")


def test_a_table_comes_back_with_its_columns_categories_and_whole_numbers(tmp_path):
    path = write(
        tmp_path / "x.csv",
        "size,count,colour\n" + "".join(f"{i / 7},{i % 5},{['red', 'blue'][i % 2]}\n" for i in range(30)),
    )
    data = open_data(path)
    assert data.spec.columns == ("size", "count", "colour=blue", "colour=red")
    (out,) = save(data.rows(torch.arange(3)) + 0.01, data.spec, tmp_path / "out")
    lines = out.read_text().splitlines()
    assert lines[0] == "size,count,colour"
    assert [line.split(",")[1:] for line in lines[1:]] == [["0", "red"], ["1", "blue"], ["2", "red"]]


def test_the_row_numbers_that_pandas_writes_are_left_out_and_it_is_said(tmp_path):
    path = write(tmp_path / "x.csv", ",a,b\n" + "".join(f"{i},{i * i % 7},{i / 3}\n" for i in range(20)))
    data = open_data(path)
    assert data.spec.columns == ("a", "b")
    assert any("counts the rows" in note for note in data.report.notes)


@pytest.mark.parametrize(
    "text", ["a;b\n1;2\n3;5\n", "a b\n1 2\n3 5\n", "# made\n1\t2\n3\t5\n", "\ufeffa,b\r\n1,2\r\n3,5\r\n"]
)
def test_delimiters_comments_and_marks_are_found_out(text, tmp_path):
    data = open_data(write(tmp_path / "x.txt", text))
    assert data.native(torch.arange(2)).tolist() == [[1, 2], [3, 5]]


def test_a_missing_value_is_reported_by_column_and_refused_with_the_fix(tmp_path):
    path = write(tmp_path / "x.csv", "a,b\n1,2\n,3\n4,NA\n5,6\n")
    with pytest.raises(UserError, match=r"'a' \(1\), 'b' \(1\).*row 2.*dropna"):
        open_data(path)


def test_a_row_of_the_wrong_length_is_named(tmp_path):
    with pytest.raises(UserError, match="row 3: 1 cells"):
        open_data(write(tmp_path / "x.csv", "a,b\n1,2\n3\n4,5\n"))


def test_pictures_show_the_range_of_the_data():
    data = open_data("digits")
    shown = to_picture(data.rows(torch.arange(5)), data.spec)
    native = data.native(torch.arange(5))[:, 0].numpy()
    assert shown.shape == (5, 8, 8, 3)
    assert np.array_equal(shown[..., 0], np.rint(native / 16 * 255).astype(np.uint8))


def test_transparent_pixels_are_shown_white(tmp_path):
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[..., 0], clear[:2, :, 3] = 255, 255
    for i in range(3):
        write(tmp_path / f"{i}.png", encode_picture(clear, "png"))
    data = open_data(tmp_path)
    shown = to_picture(data.rows(torch.arange(1)), data.spec)[0]
    assert shown[0, 0].tolist() == [255, 0, 0]
    assert shown[3, 3].tolist() == [255, 255, 255]


def test_unbounded_pictures_show_five_standard_deviations(tmp_path):
    values = np.random.default_rng(0).normal(100, 4, (50, 8, 8)).astype(np.float32)
    data = open_data(write(tmp_path / "x.npy", npy_bytes(values)))
    shown = to_picture(data.rows(torch.arange(50)), data.spec)
    assert abs(float(shown.mean()) - 127.5) < 2
    assert float(shown.std()) == pytest.approx(255 / 5, rel=0.05)


def test_points_and_signals_are_no_pictures():
    for name in ("moons", "sines"):
        data = open_data(name)
        assert not is_picture(data.spec)
        with pytest.raises(UserError, match="not pictures"):
            to_picture(data.rows(torch.arange(2)), data.spec)


def test_a_spec_from_a_file_with_an_unknown_or_wrong_entry_is_refused():
    plain = open_data("digits").spec.to_json()
    for change in (
        {"colour": 1},
        {"shape": "1x8x8"},
        {"kind": "picture"},
        {"scale": {"dtype": "object"}},
        {"scale": plain["scale"] | {"clip": True}},
        {"std": "1"},
    ):
        with pytest.raises(UserError):
            Spec.from_json(plain | change)


def test_labels_are_found_by_name_or_number():
    spec = open_data("moons").spec
    assert (spec.label("lower"), spec.label("1")) == (1, 1)
    with pytest.raises(UserError, match="did you mean 'upper'"):
        spec.label("uper")


def test_conditions_are_vectors_and_numbers_of_an_npz(tmp_path):
    rng = np.random.default_rng(0)
    place = rng.normal(3, 2, (30, 2))
    path = npz(tmp_path / "x.npz", x=rng.normal(size=(30, 4)), place=place, age=np.arange(30))
    data = open_data(path, condition=["place", "age"])
    assert data.spec.conditions == ("place[0]", "place[1]", "age")
    z = data.condition(torch.arange(30)).numpy()
    assert np.allclose(z[:, :2], (place - place.mean(0)) / place.std(0), atol=1e-5)


def test_other_data_are_read_like_the_models_own(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(12):
        write(tmp_path / "mine" / "ab"[i % 2] / f"{i}.png", png(rng, "RGB", (12, 10)))
    for i in range(6):
        write(tmp_path / "other" / "b" / f"{i}.png", png(rng, "L", (30, 31)))
        write(tmp_path / "other" / "a" / f"{i}.png", png(rng, "L", (30, 31)))
    spec = open_data(tmp_path / "mine").spec
    data = load_like(tmp_path / "other", spec)
    assert data.spec.shape == spec.shape
    assert data.spec.scale == spec.scale
    assert data.rows(torch.arange(2)).shape == (2, 3, 12, 10)
    with pytest.raises(UserError, match="shape"):
        load_like("digits", spec)


def test_other_data_in_other_units_or_of_other_classes_do_not_fit(tmp_path):
    rng = np.random.default_rng(0)
    bounded = rng.integers(0, 256, (20, 8, 8)).astype(np.uint8)
    bounded.flat[:2] = 0, 255
    spec = open_data(npz(tmp_path / "a.npz", x=bounded, y=np.arange(20) % 2)).spec
    with pytest.raises(UserError, match="uint8 from 0 to 255"):
        load_like(npz(tmp_path / "b.npz", x=bounded.astype(np.float32) / 255), spec)
    with pytest.raises(UserError, match="class '2'"):
        load_like(npz(tmp_path / "c.npz", x=bounded, y=np.arange(20) % 3), spec)
    assert (
        load_like(npz(tmp_path / "d.npz", x=bounded // 2, y=np.ones(20, int)), spec).labels(torch.arange(3)).tolist()
        == [1] * 3
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [("digits", {"size": "4"}), ("digits", {"label": "x"}), ("moons", {"condition": "a"}), ("digits", {"mode": "RGB"})],
)
def test_an_option_that_the_data_cannot_follow_is_refused_and_not_ignored(name, options):
    with pytest.raises(UserError, match=r"digits|moons"):
        open_data(name, **options)


def test_the_test_part_of_an_npz_is_held_out(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 5)), np.arange(30) % 3
    data = open_data(npz(tmp_path / "x.npz", x_train=x[:20], y_train=y[:20], x_test=x[20:], y_test=y[20:]))
    train, held = data.split()
    assert (train.tolist(), held.tolist()) == (list(range(20)), list(range(20, 30)))
    assert data.labels(held).tolist() == y[20:].tolist()
