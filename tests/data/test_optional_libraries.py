"""Parquet files and Hugging Face data sets where their libraries are installed; a clear sentence where they are not."""

import builtins
import importlib.util
import io

import numpy as np
import pytest
import torch
from PIL import Image

from reverie.core.errors import UserError
from reverie.data import load_like, open_data, save

COUNT = 20
needs_pyarrow = pytest.mark.skipif(not importlib.util.find_spec("pyarrow"), reason="pyarrow is not installed")
needs_datasets = pytest.mark.skipif(not importlib.util.find_spec("datasets"), reason="datasets is not installed")


def photos(rng):
    return [Image.fromarray(rng.integers(0, 256, (9, 8, 3)).astype(np.uint8)) for _ in range(COUNT)]


def encoded(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(("name", "content", "library"), [("x.parquet", b"PAR1" + bytes(99), "pyarrow")])
def test_a_library_that_is_missing_is_named(name, content, library, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(module, *rest, **named):
        if module.split(".")[0] == library:
            raise ImportError(module)
        return real(module, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"pip install {library}"):
        open_data(tmp_path / name)


def test_an_object_that_is_no_data_set_is_refused():
    with pytest.raises(UserError, match="not list"):
        open_data([1, 2, 3])


@needs_pyarrow
def test_parquet_tables_come_back_with_their_columns(tmp_path):
    import pyarrow
    import pyarrow.parquet

    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=COUNT), "b": np.arange(COUNT), "c": ["x", "y"] * (COUNT // 2)}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    data = open_data(tmp_path / "t.parquet")
    assert data.spec.columns == ("a", "b", "c=x", "c=y")
    (out,) = save(data.rows(torch.arange(5)), data.spec, tmp_path / "out")
    back = pyarrow.parquet.read_table(out).to_pydict()
    assert back["c"] == ["x", "y", "x", "y", "x"]
    assert back["b"] == list(range(5))
    assert load_like(out, data.spec).spec.columns[:2] == ("a", "b")


@needs_pyarrow
def test_pictures_in_parquet_are_read_as_their_files(tmp_path):
    import pyarrow
    import pyarrow.parquet

    images = photos(np.random.default_rng(0))
    rows = [{"bytes": encoded(image), "path": None} for image in images]
    table = pyarrow.table({"image": rows, "label": [0, 1] * (COUNT // 2)})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    data = open_data(tmp_path / "t.parquet")
    assert np.array_equal(data.native(torch.tensor([3]))[0].numpy(), np.moveaxis(np.asarray(images[3]), -1, 0))
    assert data.spec.classes == ("0", "1")


@needs_datasets
def test_a_hugging_face_data_set_keeps_class_names_conditions_and_its_test_split(tmp_path):
    import datasets

    images = photos(np.random.default_rng(0))
    names = datasets.ClassLabel(names=["cat", "dog"])
    features = datasets.Features({"image": datasets.Image(), "label": names, "age": datasets.Value("float32")})
    content = {"image": images, "label": [0, 1] * (COUNT // 2), "age": list(range(COUNT))}
    one = datasets.Dataset.from_dict(content, features=features)
    data = open_data(one, condition="age")
    assert data.spec.classes == ("cat", "dog")
    assert data.spec.conditions == ("age",)
    assert np.array_equal(data.native(torch.tensor([3]))[0].numpy(), np.moveaxis(np.asarray(images[3]), -1, 0))
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(str(tmp_path / "saved"))
    both = open_data(tmp_path / "saved")
    assert [len(part) for part in both.split()] == [COUNT, COUNT]
