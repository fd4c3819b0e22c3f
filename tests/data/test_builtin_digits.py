"""The digits are scikit-learn's, read without importing it where its file is found."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from reverie.data import builtin


def test_the_file_holds_what_scikit_learn_loads() -> None:
    from sklearn.datasets import load_digits

    assert np.array_equal(builtin._digits_table(), np.column_stack(load_digits(return_X_y=True)))


def test_without_the_file_scikit_learn_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtin._digits_table()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert np.array_equal(builtin._digits_table(), found)


def test_opening_the_digits_does_not_import_scikit_learn() -> None:
    code = "import sys; from reverie.data import open_data; open_data('digits'); print('sklearn' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
