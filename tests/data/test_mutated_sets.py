"""Whole data sets with bytes changed: opened or refused in one sentence, never a traceback, a hang or a flood."""

import io
import time

import numpy as np
import pytest
from made_data import MADE, npz, write
from test_hostile_files import SECONDS, mutated

from reverie.data.check import examine

SINGLE = {  # sets that are one file
    "npy signals": "data.npy",
    "npz with names": "data.npz",
    "zip of class folders": "set.zip",
    "webdataset shard": "shard.tar",
    "gzipped tar": "set.tar.gz",
    "table with categories": "data.csv",
    "table of json lines": "data.jsonl",
    "table without header": "data.csv.gz",
    "signals in text": "data.csv",
}


@pytest.mark.parametrize("name", SINGLE)
def test_a_mutated_file_is_read_or_refused(name, tmp_path):
    rng = np.random.default_rng(11)
    path = MADE[name](tmp_path / "whole", np.random.default_rng(0))
    whole = path.read_bytes()
    opened = 0
    for number in range(30):
        mutant = write(tmp_path / str(number) / SINGLE[name], mutated(whole, rng))
        begun = time.process_time()
        finding = examine(str(mutant))
        assert time.process_time() - begun < SECONDS
        assert finding.error or finding.data is not None
        opened += finding.data is not None
    assert opened < 30


@pytest.mark.parametrize(
    "name", ["idx with test part", "cifar 10", "wav 16 bits", "arrays one a file", "labels in csv"]
)
def test_a_mutated_file_in_a_folder_is_read_or_refused(name, tmp_path):
    rng = np.random.default_rng(5)
    for number in range(12):
        folder = MADE[name](tmp_path / str(number), np.random.default_rng(number))
        chosen = sorted(p for p in folder.rglob("*") if p.is_file())
        victim = chosen[int(rng.integers(len(chosen)))]
        victim.write_bytes(mutated(victim.read_bytes(), rng))
        finding = examine(str(folder))
        assert finding.error or finding.data is not None
        if finding.data is not None:
            assert finding.report.found == finding.report.used + finding.report.skipped


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n\n",
        b"a,b\n",
        b"1",
        b"a",
        b"\xff\xfe",
        b"{}",
        b"[]",
        b"[1,2]",
        b"@data\n",
        b"1,2\n3,4\n",
        b"x" * 100_000,
    ],
)
def test_tiny_and_odd_files_are_read_or_refused(content, tmp_path):
    finding = examine(str(write(tmp_path / "x.csv", content)))
    assert finding.error or finding.data is not None


@pytest.mark.parametrize("kind", ["U5", "S3", "c8", "M8[s]", "O", "f8"])
def test_arrays_that_are_no_numbers_are_refused(kind, tmp_path):
    values = np.zeros((4, 3)).astype(kind) if kind != "O" else np.array([[None] * 3] * 4)
    if kind == "O":
        file = io.BytesIO()
        np.lib.format.write_array(file, values, allow_pickle=True)
        path = write(tmp_path / "x.npy", file.getvalue())
    else:
        path = npz(tmp_path / "x.npz", x=values)
    finding = examine(str(path))
    assert finding.error
    assert finding.code == 65
