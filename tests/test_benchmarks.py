"""The page on benchmarks is what the committed results say, and results name nobody's machine."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))


def test_the_page_on_benchmarks_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    spec = importlib.util.spec_from_file_location("benchmarks.page", ROOT / "benchmarks" / "page.py")
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.PAGE.read_text(encoding="utf-8") == page.page(), "run: python -m benchmarks.page"
    assert "{{" not in page.page()
    sys.modules.pop("benchmarks.page", None)


@pytest.mark.parametrize("path", RESULTS, ids=lambda p: p.stem)
def test_a_result_is_json_without_paths_of_a_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    json.loads(text)
    assert not re.search(r'[" ]/(home|root|work|tmp|usr)/', text)
