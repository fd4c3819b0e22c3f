"""The documentation: Markdown pages, and tables and reference pages generated from the source when it is built.

Needs no network: the theme carries its own fonts and scripts, and equations are plain text as in the source.
"""

import ast
import os
import re
import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(DOCS))

from plaintext import as_rst  # noqa: E402

from reverie import __version__  # noqa: E402
from reverie.cli import main as cli  # noqa: E402
from reverie.core import catalog  # noqa: E402

project = "reverie"
author = "The reverie authors"
copyright = author
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "generated/help.md", "generated/pieces.md"]
html_theme = "furo"
html_title = f"reverie {version}"
html_extra_path = ["reports"]  # pages made by `reverie evaluate`, as they are
html_copy_source = False
html_show_sphinx = False
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
suppress_warnings = ["misc.highlighting_failure"]

GENERATED = DOCS / "generated"
# room → the kinds of entry in it: (title, base class in the catalogue)
KINDS = {
    "processes": [("Processes", "Process"), ("Schedules", "Schedule")],
    "denoisers": [("Denoisers", "Denoiser"), ("Predictions", "Prediction")],
    "losses": [("Losses", "Loss"), ("Weights", "Weight"), ("Laws of times", "Times")],
    "networks": [("Networks", "Network"), ("Features of the noise level", "Features")],
    "samplers": [("Samplers", "Sampler"), ("Time grids", "Grid")],
    "likelihoods": [
        ("Likelihoods", "Likelihood"),
        ("Decoders", "Decoder"),
        ("Divergences", "Divergence"),
        ("Solvers", "Solver"),
    ],
    "guidance": [("Guidance", "Guidance"), ("Rewards", "Reward"), ("Twists", "Twist")],
}
ROOMS = [
    "processes", "networks", "data", "metrics", "pictures", "denoisers", "losses", "samplers", "likelihoods",
    "guidance", "training", "evaluation", "interop", "explain", "core",
]  # fmt: skip


def contents(room: str) -> Path:
    return ROOT / "reverie" / room / "__init__.py"


def cell(text: str) -> str:
    """Text for a table: markup escaped, but for code."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([*_<])", r"\\\1", p) for p in parts).replace("|", "\\|")


FACTORY, made = re.compile(r"field\(default_factory=(.*)\)"), r"\1()"


def table(room: str, base: str) -> str:
    """One row for every entry: the name to type, its first line, its options with their defaults."""
    rows = ["| name | what it is | options |", "|---|---|---|"]
    for key in catalog.names(room, base):
        options = [o for o in catalog.options(room, key) if o.default]
        described = ", ".join(f"`{o.name} = {FACTORY.sub(made, o.default)}`" for o in options) or "none"
        rows.append(f"| `{key}` | {cell(catalog.summary(room, key))} | {described.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def catalogue() -> str:
    page = [
        "# Catalogue",
        "Every name that the command line, a recipe or a model file may use, read from the source at build time.",
    ]
    for room, all_kinds in KINDS.items():
        kinds = [kind for kind in all_kinds if contents(room).is_file() and catalog.names(room, kind[1])]
        if kinds:
            page += [f"## reverie.{room}", docstring(contents(room)).split("\n")[0]]
        for title, base in kinds:
            page += [f"### {title}", table(room, base)]
    for room in ("metrics", "pictures"):
        page += [f"## reverie.{room}", docstring(contents(room)).split("\n")[0], functions(room)]
    return "\n\n".join(page) + "\n"


def functions(room: str) -> str:
    """One row for every public function of a room that has functions rather than entries."""
    rows = ["| function | what it gives |", "|---|---|"]
    for path in sorted(contents(room).parent.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name in public(room):
                rows.append(f"| `{node.name}` | {cell((ast.get_docstring(node) or '').split(chr(10))[0])} |")
    return "\n".join(rows)


def public(room: str) -> set[str]:
    body = ast.parse(contents(room).read_text(encoding="utf-8")).body
    lists = [n.value for n in body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"]
    return set(ast.literal_eval(lists[0])) if lists else set()


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def reference(room: str) -> str:
    """The reference page of a room: each file's own words, then its public names."""
    title = f"reverie.{room}"
    page = [title, "=" * len(title), "", as_rst(docstring(contents(room))), ""]
    for path in sorted(contents(room).parent.rglob("*.py")):
        if path.name.startswith("_"):
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        page += [
            module,
            "-" * len(module),
            "",
            f".. automodule:: {module}",
            "   :members:",
            "   :show-inheritance:",
            "",
        ]
    return "\n".join(page)


def commands() -> str:
    """The help of every verb, at a fixed width."""
    os.environ["COLUMNS"] = "100"
    top = cli.parser()
    verbs = next(action for action in top._actions if action.dest == "verb").choices
    page = [f"```text\n{top.format_help()}```"]
    for name, verb in verbs.items():
        page += [f"## reverie {name}", f"```text\n{verb.format_help()}```"]
    return "\n\n".join(page) + "\n"


def pieces() -> str:
    """The table of contents of all pages that `index.md` does not name itself."""
    named = {"index", "install", "quickstart", "commands", "changelog", "design", "symbols"}
    others = sorted(path.stem for path in DOCS.glob("*.md") if path.stem not in named)
    theory = sorted(f"theory/{path.stem}" for path in DOCS.glob("theory/*.md"))
    listed = "\n".join(["design", "symbols", "generated/catalogue", *others, *theory])
    return f"```{{toctree}}\n:caption: The pieces\n\n{listed}\n```\n"


def write(name: str, text: str) -> None:
    """Only what has changed, so that a second build is quick."""
    path = GENERATED / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def generate(app) -> None:
    present = [room for room in ROOMS if contents(room).is_file()]
    for stale in set(GENERATED.glob("api/*.rst")) - {GENERATED / f"api/{room}.rst" for room in present}:
        stale.unlink()
    write("catalogue.md", catalogue())
    write("help.md", commands())
    write("pieces.md", pieces())
    for room in present:
        write(f"api/{room}.rst", reference(room))


def plain_docstring(app, what, name, obj, options, lines) -> None:
    """Docstrings are plain text with equations laid out by hand: kept as they stand."""
    lines[:] = as_rst("\n".join(lines)).split("\n")


def clean(app, exception) -> None:
    if exception is None:
        shutil.rmtree(GENERATED, ignore_errors=True)


def setup(app) -> None:
    app.connect("builder-inited", generate)
    app.connect("autodoc-process-docstring", plain_docstring)
    app.connect("build-finished", clean)
