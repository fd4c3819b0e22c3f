"""What the documentation shows, runs: the table of symbols line by line, the README's Python, and the build itself."""

import ast
import importlib.util
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def blocks(path, language="python"):
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def symbols():
    """(what the papers write, the line of code) for every row of the tables."""
    for line in (DOCS / "symbols.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("|") and len(cells) == 4 and cells[1].startswith("`"):
            yield cells[0], cells[1].strip("`")


ROWS = list(symbols())


@pytest.fixture(scope="module")
def preamble():
    names = {}
    run = compile(blocks(DOCS / "symbols.md")[0], "symbols.md", "exec")
    exec(run, names)
    return names


def numbers(value):
    """The numbers in what a line gives, or none for an object that is only shown."""
    if isinstance(value, torch.Tensor):
        return value.flatten().tolist()
    if isinstance(value, (int, float)):
        return [float(value)]
    if isinstance(value, (tuple, list)):
        return [n for part in value for n in numbers(part)]
    return []


def test_the_table_of_symbols_covers_the_lecture():
    assert len(ROWS) > 50
    written = " ".join(notation for notation, _ in ROWS)
    for notation in (
        "ᾱ_t",
        "β_t",
        "β̃_t",
        "μ̃_t",
        "SNR",
        "Tweedie",
        "Langevin",
        "guidance",
        "work",
        "L_T",
        "L_0",
        "f(t)",
        "g(t)²",
    ):
        assert notation in written


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_line_of_the_table_of_symbols_runs(row, preamble):
    value = eval(row[1], dict(preamble))
    assert all(math.isfinite(n) for n in numbers(value))


def test_the_lines_mean_what_the_papers_write(preamble):
    """The DDPM rows against the table computed by hand."""
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    bar, i = torch.cumprod(1 - beta, 0), preamble["i"]
    now, before, b = (float(v) for v in (bar[i - 1], bar[i - 2], beta[i - 1]))
    expected = {
        "ᾱ_t = ∏ α": now,
        "1 − ᾱ_t": 1 - now,
        "α_t = 1 − β_t": 1 - b,
        "SNR(t)": now / (1 - now),
        "β̃_t": (1 - before) / (1 - now) * b,
    }
    lines = dict(ROWS)
    for notation, value in expected.items():
        assert float(eval(lines[notation], dict(preamble))) == pytest.approx(value, rel=1e-9), notation
    x0, xt = preamble["x0"], preamble["xt"]
    mean = math.sqrt(before) * b / (1 - now) * x0 + math.sqrt(1 - b) * (1 - before) / (1 - now) * xt
    torch.testing.assert_close(eval(lines["μ̃_t(x_t, x_0)"], dict(preamble)), mean, rtol=1e-9, atol=0)
    torch.testing.assert_close(eval(lines["Tweedie"], dict(preamble)), preamble["posterior"].mean, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name)
def test_python_on_a_page_parses_and_imports_what_exists(page):
    for block in blocks(page):
        if "def forward(self, xt, t) -> Distribution" in block:
            continue
        tree = ast.parse(block)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("reverie"):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


def test_no_page_names_a_path_of_somebody_s_machine():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"(/home/|/root/|/work/|/tmp/|C:\\\\)", text), page


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path):
    if importlib.util.find_spec("sphinx") is None:
        pytest.skip("sphinx is not installed (pip install -e '.[docs]')")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "-q",
        "-d",
        str(tmp_path / "trees"),
        str(DOCS),
        str(tmp_path / "html"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "html" / "catalogue.html").read_text(encoding="utf-8")
    assert "vp-linear" in page
