"""The catalogue: every name that a user may type, read from the packages' tables of contents.

A folder's `__init__.py` names what is public (`__all__`). From those lines come the names on the command
line, in recipes and in model files, the rows of the documentation's tables, and the list that the law tests
run over. `names`, `options` and `summary` read the source with `ast`, so that `--help` never imports torch;
`find` and `build` import. Names are a closed list: nothing in a file is ever imported by a dotted path.

>>> names("samplers")[:2]
['ancestral', 'ddim']
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reverie.core.errors import UserError, unknown

WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "None": "none",
    "tuple[int, ...]": "whole numbers a,b,…",
    "tuple[float, ...]": "numbers a,b,…",
}
ROOT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Option:
    """One constructor argument: its name, its annotation as written, its default as written ('' if required)."""

    name: str
    annotation: str
    default: str


def kebab(name: str) -> str:
    """A class name as users type it: `VpLinear` → `vp-linear`, `X0` → `x0`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def _imported(path: Path) -> dict[str, Path]:
    """Name → file of everything that a file takes from the project, also where it is taken from a room as a whole."""
    found: dict[str, Path] = {}
    for node in _tree(path).body:
        if not (isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("reverie.")):
            continue
        place = ROOT.joinpath(*node.module.split(".")[1:])
        file, room = place.with_suffix(".py"), place / "__init__.py"
        for alias in node.names:
            if file.is_file():
                found[alias.asname or alias.name] = file
            elif room.is_file() and alias.name in _imported(room):
                found[alias.asname or alias.name] = _imported(room)[alias.name]
    return found


@functools.cache
def _contents(room: str) -> dict[str, tuple[Path, str]]:
    """Public name → (source file, class name), from the room's `__init__.py`."""
    path = ROOT.joinpath(*room.split("."), "__init__.py")
    public: list[str] = []
    for node in _tree(path).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            public = list(ast.literal_eval(node.value))
    source = _imported(path)
    return {kebab(name): (source[name], name) for name in public if name in source and _is_class(source[name], name)}


def _is_class(path: Path, name: str) -> bool:
    return any(isinstance(node, ast.ClassDef) and node.name == name for node in _tree(path).body)


def _definition(path: Path, name: str) -> ast.ClassDef:
    return next(node for node in _tree(path).body if isinstance(node, ast.ClassDef) and node.name == name)


def _is_entry(room: str, key: str) -> bool:
    """Whether the name is a concrete class (an entry) rather than a contract (marked by ABC among its bases)."""
    definition = _definition(*_contents(room)[key])
    return not any(isinstance(base, ast.Name) and base.id == "ABC" for base in definition.bases)


def names(room: str, base: str | None = None) -> list[str]:
    """The names a user may type for this room, sorted; only those that derive from `base` when it is given."""
    entries = sorted(key for key in _contents(room) if _is_entry(room, key))
    return entries if base is None else [k for k in entries if base in _ancestors(room, k) or k == kebab(base)]


def _ancestors(room: str, key: str) -> set[str]:
    """The names of all base classes, followed through the project's own files."""
    path, name = _contents(room)[key]
    return set(_lineage(path, name))


@functools.cache
def _lineage(path: Path, name: str) -> tuple[str, ...]:
    found: list[str] = []
    for file, base in _bases(path, name):
        found += [base, *(_lineage(file, base) if file else ())]
    return tuple(found)


@functools.cache
def _bases(path: Path, name: str) -> tuple[tuple[Path | None, str], ...]:
    """A class's bases with the file each is defined in; None for those from outside the project."""
    local = {node.name: node for node in _tree(path).body if isinstance(node, ast.ClassDef)}
    bases = [base.id for base in local[name].bases if isinstance(base, ast.Name)]
    return tuple((path if base in local else _imported(path).get(base), base) for base in bases)


def summary(room: str, key: str) -> str:
    """The first line of the entry's docstring."""
    return (ast.get_docstring(_definition(*_contents(room)[key])) or "").split("\n")[0]


def options(room: str, key: str) -> list[Option]:
    """The entry's constructor arguments: dataclass fields, inherited ones first, or those of `__init__` by name."""
    return list(_all_options(*_contents(room)[_known(room, key)]).values())


@functools.cache
def _all_options(path: Path, name: str) -> dict[str, Option]:
    found: dict[str, Option] = {}
    for file, base in _bases(path, name):
        if file and file.is_file() and _is_dataclass(_definition(file, base)):
            found.update(_all_options(file, base))
    found.update({option.name: option for option in _options(_definition(path, name))})
    return found


def _is_dataclass(definition: ast.ClassDef) -> bool:
    return any(ast.unparse(decorator).split("(")[0].endswith("dataclass") for decorator in definition.decorator_list)


def _options(definition: ast.ClassDef) -> Iterator[Option]:
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            annotation = ast.unparse(node.annotation)
            if not annotation.startswith("ClassVar"):
                yield Option(node.target.id, annotation, ast.unparse(node.value) if node.value else "")
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            arguments = node.args
            for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
                annotation = ast.unparse(argument.annotation) if argument.annotation else "Any"
                yield Option(argument.arg, annotation, ast.unparse(default) if default else "")


def _known(room: str, key: str) -> str:
    if key not in _contents(room):
        raise unknown(_singular(room), key, names(room))
    return key


def _singular(room: str) -> str:
    """What one entry of the room is called: processes → process, samplers → sampler."""
    return re.sub(r"(?<=ss)es$|s$", "", room)


def find(room: str, key: str) -> type:
    """The class behind a name from the closed list; an unknown name suggests the nearest."""
    path, name = _contents(room)[_known(room, key)]
    module = ".".join(("reverie", *path.relative_to(ROOT).with_suffix("").parts))
    return getattr(importlib.import_module(module), name)


def build(room: str, config: Mapping[str, Any], *, where: str = "", **given: Any) -> Any:
    """Make the object that `{"name": key, option: value, ...}` describes.

    `given` holds arguments that are objects (a process, a schedule) and so are no options. Raises UserError that
    names the place for an unknown name or option, a value of the wrong type, or one that the constructor refuses.
    """
    key = config.get("name", "")
    place = where or _singular(room)
    entry = find(room, key)
    allowed = {option.name: option for option in options(room, key) if option.name not in given}
    chosen = {}
    for name, value in config.items():
        if name == "name":
            continue
        if name not in allowed:
            raise unknown(f"option of {place} '{key}':", name, allowed)
        chosen[name] = _value(room, value, allowed[name].annotation, f"{place}.{name}")
    try:
        return entry(**given, **chosen)
    except (ValueError, TypeError) as error:
        raise UserError(f"{place} '{key}': {error}") from error


def _value(room: str, value: Any, annotation: str, place: str) -> Any:
    """An option's value: a plain one, or an entry of the same room where the option asks for one (a schedule)."""
    if kebab(annotation) in _contents(room):
        return build(room, {"name": value} if isinstance(value, str) else value, where=place)
    return checked(value, annotation, place)


def describe(room: str, entry: Any) -> dict[str, Any]:
    """The inverse of `build`: the name and options of an object made from this room."""
    key = kebab(type(entry).__name__)
    described: dict[str, Any] = {"name": key}
    for option in options(room, key):
        value = getattr(entry, option.name)
        if kebab(option.annotation) in _contents(room):
            described[option.name] = describe(room, value)
        elif _is_plain(value):
            described[option.name] = list(value) if isinstance(value, tuple) else value
    return described


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool, tuple, list, type(None)))


def checked(value: Any, annotation: str, place: str) -> Any:
    """Hold a plain value against an annotation as written; text from the command line is converted, nothing guessed."""
    wanted = [part.strip() for part in annotation.split("|")]
    if "None" in wanted and (value is None or value == "none"):
        return None
    for kind in wanted:
        converted = _convert(value, kind)
        if converted is not None:
            return converted
    words = [WORDS.get(kind, kind) for kind in wanted]
    raise UserError(f"{place} must be {' or '.join(words)}, not {value!r}")


def _convert(value: Any, kind: str) -> Any:
    if kind.startswith("tuple["):
        parts = [p for p in value.split(",") if p] if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)):
            return None
        inner = kind[len("tuple[") : -1].split(",")[0].strip()
        converted = tuple(_convert(part, inner) for part in parts)
        return None if None in converted else converted
    if kind == "bool":
        words = {"true": True, "false": False, True: True, False: False}
        key = value.lower() if isinstance(value, str) else value
        return words.get(key) if isinstance(key, (str, bool)) else None
    if kind in ("int", "float") and not isinstance(value, bool) and isinstance(value, (str, int, float)):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return None
        if not math.isfinite(number) or (kind == "int" and number != int(number)):
            return None
        return int(number) if kind == "int" else number
    if kind == "str" and isinstance(value, str):
        return value
    return None
