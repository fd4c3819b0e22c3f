"""Every state of the disk that a power cut could leave: data and names are only safe once synced.

`Recording` does what the real disk does and keeps a log; `states` replays each prefix of the log on a model of a disk
in which a file's data are durable after `fsync` of the file, and a name after `dirsync` of its folder, and of what was
not synced any part may be missing: all names, all but one, or those after some moment; a file's data whole, in part,
or as zeros.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faulty_disk import Numbered

Tree = dict[str, Any]  # name → bytes or Tree
BLOCK = 4096


class Recording(Numbered):
    """Logs (operation, arguments, result); drops the sync operations whose numbers among the syncs are in `without`."""

    def __init__(self, root: Path, *, without: frozenset[int] = frozenset(), inner: Any = None) -> None:
        super().__init__(inner)
        self.root, self.without, self.log, self.syncs = root, without, [], 0

    def _run(self, operation: str, *args: Any, **options: Any) -> Any:
        result = super()._run(operation, *args, **options)
        if operation in ("fsync", "dirsync"):
            self.syncs += 1
            if self.syncs - 1 in self.without:
                return result
        plain = [os.path.relpath(a, self.root) if isinstance(a, Path) else a for a in args]
        if operation == "write":
            plain[1] = bytes(args[1])[:result]
        self.log.append((operation, plain, result))
        return result


@dataclass
class File:
    durable: bytes = b""
    cached: bytes = b""


@dataclass
class Folder:
    durable: dict[str, int] = field(default_factory=dict)
    cached: dict[str, int] = field(default_factory=dict)


class Model:
    """Inodes, and the changes of names that no `dirsync` has made durable yet."""

    def __init__(self) -> None:
        self.nodes: dict[int, Any] = {0: Folder()}
        self.pending: list[list[tuple[int, str, int | None]]] = []
        self.files: dict[int, int] = {}

    def _folder(self, path: str) -> int:
        number = 0
        for part in Path(path).parts:
            number = self.nodes[number].cached[part]
        return number

    def _place(self, path: str) -> tuple[int, str]:
        return self._folder(str(Path(path).parent)), Path(path).name

    def _change(self, *changes: tuple[int, str, int | None]) -> None:
        self.pending.append(list(changes))
        for folder, name, node in changes:
            _set(self.nodes[folder].cached, name, node)

    def _made(self, path: str, node: Any) -> int:
        number = len(self.nodes)
        self.nodes[number] = node
        self._change((*self._place(path), number))
        return number

    def apply(self, operation: str, args: list[Any], result: Any) -> None:
        getattr(self, "_" + operation)(args, result)

    def _mkdir(self, args: list[Any], result: Any) -> None:
        self._made(args[0], Folder())

    def _open(self, args: list[Any], result: Any) -> None:
        folder, name = self._place(args[0])
        existing = self.nodes[folder].cached.get(name)
        self.files[result] = self._made(args[0], File()) if existing is None else existing

    def _write(self, args: list[Any], result: Any) -> None:
        self.nodes[self.files[args[0]]].cached += args[1]

    def _truncate(self, args: list[Any], result: Any) -> None:
        node = self.nodes[self.files[args[0]]]
        node.cached = node.cached[: args[1]]

    def _fsync(self, args: list[Any], result: Any) -> None:
        node = self.nodes[self.files[args[0]]]
        node.durable = node.cached

    def _close(self, args: list[Any], result: Any) -> None:
        del self.files[args[0]]

    def _rename(self, args: list[Any], result: Any) -> None:
        (a, old), (b, new) = self._place(args[0]), self._place(args[1])
        self._change((a, old, None), (b, new, self.nodes[a].cached[old]))

    def _exchange(self, args: list[Any], result: Any) -> None:
        (a, one), (b, other) = self._place(args[0]), self._place(args[1])
        self._change((a, one, self.nodes[b].cached[other]), (b, other, self.nodes[a].cached[one]))

    def _unlink(self, args: list[Any], result: Any) -> None:
        self._change((*self._place(args[0]), None))

    _rmdir = _unlink

    def _dirsync(self, args: list[Any], result: Any) -> None:
        folder = self._folder(args[0])
        done = [change for change in self.pending if any(entry[0] == folder for entry in change)]
        for change in done:
            for where, name, node in change:
                _set(self.nodes[where].durable, name, node)
        self.pending = [change for change in self.pending if change not in done]

    def states(self) -> Iterator[Tree]:
        """What may be found after the power came back."""
        count = len(self.pending)
        kept = [set(range(n)) for n in range(count + 1)] + [set(range(count)) - {n} for n in range(count)]
        for names in kept:
            folders = {n: dict(node.durable) for n, node in self.nodes.items() if isinstance(node, Folder)}
            for number, change in enumerate(self.pending):
                if number in names:
                    for where, name, node in change:
                        _set(folders[where], name, node)
            for how in (_lost, _kept, _torn, _zeros):
                yield self._tree(0, folders, how)

    def _tree(self, number: int, folders: dict[int, dict[str, int]], how: Any) -> Tree:
        made: Tree = {}
        for name, child in folders[number].items():
            node = self.nodes[child]
            made[name] = how(node) if isinstance(node, File) else self._tree(child, folders, how)
        return made


def _set(names: dict[str, int], name: str, node: int | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _lost(file: File) -> bytes:
    return file.durable


def _kept(file: File) -> bytes:
    return file.cached


def _torn(file: File) -> bytes:
    fresh = len(file.cached) - len(file.durable)
    return file.cached if fresh <= 0 else file.cached[: len(file.durable) + (fresh - 1) // BLOCK * BLOCK]


def _zeros(file: File) -> bytes:
    return file.durable + bytes(max(0, len(file.cached) - len(file.durable)))


def states(log: list[Any], base: Model | None = None) -> Iterator[tuple[int, Tree]]:
    """(operations done, tree) for every prefix of the log, each distinct tree once per prefix."""
    model = copy.deepcopy(base) if base else Model()
    for done in range(len(log) + 1):
        seen = []
        for tree in model.states():
            if tree not in seen:
                seen.append(tree)
                yield done, tree
        if done < len(log):
            model.apply(*log[done])


def lay_out(tree: Tree, folder: Path) -> None:
    """Make the tree real."""
    folder.mkdir()
    for name, content in tree.items():
        if isinstance(content, dict):
            lay_out(content, folder / name)
        else:
            (folder / name).write_bytes(content)
