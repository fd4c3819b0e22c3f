"""The shape of the house, held by a walk over the source with `ast`: layers, no cycles, nothing that runs foreign code.

`broken` collects every breach in a tree of files, so that each rule is also tried on a small wrong tree it must reject.
"""

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reverie.core import catalog

PACKAGE = Path(__file__).resolve().parents[1] / "reverie"
LAYERS = {
    "core": 0,
    "processes": 1, "networks": 1, "data": 1, "metrics": 1, "pictures": 1,
    "denoisers": 2,
    "losses": 3, "samplers": 3, "likelihoods": 3, "guidance": 3,
    "training": 4, "interop": 4, "explain": 4,
    "evaluation": 5,
    "cli": 6, "web": 6,
}  # fmt: skip
# What a room of layers 1 to 3 may import; from layer 4 on it is everything below.
BELOW = {1: {"core"}, 2: {"core", "processes"}, 3: {"core", "processes", "denoisers"}}
# Third parties that a user may lack, and (last line) those that take a second to load and are seldom needed.
OPTIONAL = {
    "tensorboard", "torch.utils.tensorboard", "shtab", "diffusers", "datasets", "scipy", "pandas", "pyarrow",
    "matplotlib", "sklearn", "rich", "PIL",
}  # fmt: skip
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "__import__", "compile"}
LONGEST_FILE = 300
CONTRACTS = {"Process", "Gaussian", "Schedule"}  # of the processes, what losses, samplers and likelihoods may name


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.py"))


def room_of(root: Path, path: Path) -> str | None:
    """The folder directly under the package; None for the package's own `__init__` and `__main__`."""
    parts = path.relative_to(root).parts
    return parts[0] if len(parts) > 1 else None


def imports(tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield ("." * node.level + (node.module or ""), node)
            if node.module == "reverie":
                yield from ((f"reverie.{alias.name}", node) for alias in node.names)


def rooms_imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for module, node in imports(tree):
        parts = module.split(".")
        if parts[0] == "reverie" and len(parts) > 1:
            yield parts[1], node.lineno


def inside_functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from ((module, node.lineno) for module, node in imports(function))


def may_import(room: str, other: str) -> bool:
    layer = LAYERS[room]
    if room == other:
        return True
    if layer >= 4:
        return LAYERS[other] < layer
    return other in BELOW.get(layer, set())


def type_checking_only(tree: ast.Module) -> set[int]:
    """The lines of imports under `if TYPE_CHECKING:`, which do not run."""
    return {
        child.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for child in ast.walk(node)
        if isinstance(child, (ast.Import, ast.ImportFrom))
    }


def layer_breaches(root: Path, path: Path, tree: ast.Module) -> Iterator[str]:
    room = room_of(root, path)
    if room is None:
        return
    if room not in LAYERS:
        yield f"{path}: '{room}' is not a room of the house"
        return
    for other, line in rooms_imported(tree):
        if other in LAYERS and not may_import(room, other):
            yield f"{path}:{line}: {room} (layer {LAYERS[room]}) imports {other} (layer {LAYERS[other]})"
    for module, node in imports(tree):
        if module.startswith("."):
            yield f"{path}:{node.lineno}: a relative import; write it from the package's root"


def late_imports(root: Path, path: Path, tree: ast.Module) -> Iterator[str]:
    if room_of(root, path) in ("cli", None):
        return
    for module, line in inside_functions(tree):
        if not {module, module.split(".")[0]} & OPTIONAL:
            yield f"{path}:{line}: imports {module} inside a function"


def foreign_code(root: Path, path: Path, tree: ast.Module) -> Iterator[str]:
    for module, node in imports(tree):
        if module.split(".")[0] in FORBIDDEN_MODULES:
            yield f"{path}:{node.lineno}: imports {module}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        values = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
        if name in FORBIDDEN_CALLS or (name.startswith("yaml.") and "safe" not in name):
            yield f"{path}:{node.lineno}: calls {name}"
        if values.get("allow_pickle") is True or values.get("weights_only", True) is False:
            yield f"{path}:{node.lineno}: {name} allows pickles"
        if name == "torch.load":
            yield f"{path}:{node.lineno}: torch.load reads pickles; files are safetensors"


def undocumented(root: Path, path: Path, tree: ast.Module) -> Iterator[str]:
    if tree.body and ast.get_docstring(tree) is None:
        yield f"{path}: the module has no docstring"
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node):
            yield f"{path}:{node.lineno}: class {node.name} has no docstring"


def too_long(root: Path, path: Path, tree: ast.Module) -> Iterator[str]:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if lines > LONGEST_FILE:
        yield f"{path}: {lines} lines; {LONGEST_FILE} at most"


def process_branches(root: Path, path: Path, tree: ast.Module) -> Iterator[str]:
    """One bound, one ancestral sampler: these rooms know the contracts, and may only refuse what is not Gaussian."""
    if room_of(root, path) not in ("losses", "samplers", "likelihoods"):
        return
    for module, node in imports(tree):
        if module.startswith("reverie.processes") and isinstance(node, ast.ImportFrom):
            for name in {alias.name for alias in node.names} - CONTRACTS:
                yield f"{path}:{node.lineno}: knows the process {name}"
    refusals = {
        id(node.test.operand)
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.UnaryOp)
        and isinstance(node.test.op, ast.Not)
        and isinstance(node.body[0], ast.Raise)
        and not node.orelse
    }
    for node in ast.walk(tree):
        asks = isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass")
        if asks and ast.unparse(node.args[1]) in CONTRACTS and id(node) not in refusals:
            yield f"{path}:{node.lineno}: branches on the kind of process: {ast.unparse(node)}"
        feels = isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr")
        if feels and ast.unparse(node.args[0]).endswith("process"):
            yield f"{path}:{node.lineno}: asks a process for what only some have: {ast.unparse(node)}"


def broken(root: Path, rule) -> list[str]:
    found = [breach for path in files(root) for breach in rule(root, path, ast.parse(path.read_text(encoding="utf-8")))]
    return [breach.replace(f"{root}/", "") for breach in found]


RULES = [layer_breaches, late_imports, foreign_code, undocumented, too_long, process_branches]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rules(rule):
    assert broken(PACKAGE, rule) == []


WRONG = {
    "a room imports its sibling": (layer_breaches, "losses/a.py", '"""D."""\nfrom reverie.samplers import Ddim\n'),
    "a lower room imports a higher": (layer_breaches, "processes/a.py", '"""D."""\nimport reverie.denoisers\n'),
    "a room through the package": (layer_breaches, "networks/a.py", '"""D."""\nfrom reverie import training\n'),
    "an unknown room": (layer_breaches, "utils/a.py", '"""D."""\n'),
    "a relative import": (layer_breaches, "core/a.py", '"""D."""\nfrom . import rng\n'),
    "an import in a function": (late_imports, "losses/a.py", '"""D."""\ndef f():\n    from reverie.core import rng\n'),
    "pickle": (foreign_code, "data/a.py", '"""D."""\nimport pickle\n'),
    "eval": (foreign_code, "data/a.py", '"""D."""\nx = eval("1")\n'),
    "numpy pickles": (foreign_code, "data/a.py", '"""D."""\nimport numpy\nnumpy.load("x", allow_pickle=True)\n'),
    "torch pickles": (foreign_code, "data/a.py", '"""D."""\nimport torch\ntorch.load("x", weights_only=False)\n'),
    "yaml": (foreign_code, "data/a.py", '"""D."""\nimport yaml\nyaml.load("x")\n'),
    "no docstring": (undocumented, "data/a.py", '"""D."""\nclass A:\n    pass\n'),
    "a sampler of one process": (process_branches, "samplers/a.py", "from reverie.processes import Binomial\n"),
    "a bound of one process": (process_branches, "likelihoods/a.py", "from reverie.processes.blur import Blur\n"),
    "a loss that asks": (process_branches, "losses/a.py", "f = lambda p: 1 if isinstance(p, Gaussian) else 2\n"),
    "a bound that feels": (process_branches, "likelihoods/a.py", "s = getattr(process, 'schedule', None)\n"),
    "a refusal that goes on": (process_branches, "samplers/a.py", "if not isinstance(process, Gaussian):\n    x = 2\n"),
    "a long file": (too_long, "data/a.py", '"""D."""\n' + "x = 1\n" * LONGEST_FILE),
}


@pytest.mark.parametrize("case", WRONG)
def test_each_rule_rejects_a_wrong_tree(case, tmp_path):
    rule, name, text = WRONG[case]
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(text)
    assert broken(tmp_path, rule)


def module_name(path: Path) -> str:
    parts = ("reverie", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def edges(path: Path, tree: ast.Module, modules: set[str]) -> set[str]:
    """The project's modules that this file loads when it is itself loaded (imports in functions excepted)."""
    late = {line for _, line in inside_functions(tree)} | type_checking_only(tree)
    found: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)) or node.lineno in late:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif node.module:
            children = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (children & modules) or {node.module}
    return {name for name in found if name in modules} - {module_name(path)}


def test_no_module_imports_itself_in_a_circle():
    modules = {module_name(path) for path in files(PACKAGE)}
    graph = {}
    for path in files(PACKAGE):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        graph[module_name(path)] = edges(path, tree, modules)
    list(graphlib.TopologicalSorter(graph).static_order())


def test_every_room_names_what_is_public_in_a_literal_list():
    for path in sorted(PACKAGE.glob("*/__init__.py")):
        if path.parent.name in ("core", "training", "cli", "web"):
            continue  # imported by file: these stay free of torch
        lists = [
            node.value
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ]
        assert len(lists) == 1, f"{path}: needs one __all__"
        names = ast.literal_eval(lists[0])
        assert len(names) == len(set(names)), path
        assert not [name for name in names if name.startswith("_")], path


# Too plain to have a source of their own.
SOURCELESS = {"uniform"}
SOURCE = re.compile(r"arXiv|[Ss]ection \d|[A-Z]\w+ (et al\. |& [A-Z]\w+ )?(19|20)\d\d")


@pytest.mark.parametrize("room", ["processes", "denoisers", "losses", "samplers", "likelihoods", "guidance"])
def test_every_entry_says_where_it_comes_from(room):
    if not (PACKAGE / room / "__init__.py").is_file():
        pytest.skip(f"there is no room '{room}' yet")
    silent = []
    for key in set(catalog.names(room)) - SOURCELESS:
        path, name = catalog._contents(room)[key]
        module = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if not SOURCE.search(module + (ast.get_docstring(catalog._definition(path, name)) or "")):
            silent.append(key)
    assert silent == []
