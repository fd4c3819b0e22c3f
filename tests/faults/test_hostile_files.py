"""Files made to run code, and files made to break the reader: refused with one sentence, and nothing else happens."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import pickletools
import random
import resource
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from audit import watched
from faulty_disk import Plain

from reverie.core import files, modelfile
from reverie.core.disk import use
from reverie.core.errors import BAD_DATA, UserError
from reverie.data import open_data
from reverie.networks import initialise
from reverie.training.assemble import build_denoiser
from reverie.training.checkpoint import Checkpoints
from reverie.training.defaults import choose
from reverie.training.model import contents, load

REFUSED = "not a safetensors file; pickles are never loaded"


def refusal(action: Callable[[], object]) -> UserError | None:
    """What the user is told; any other exception is a fault of the package."""
    try:
        action()
    except UserError as error:
        return error
    return None


class Reduce:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def payloads() -> dict[str, bytes]:
    """Pickles that run something when loaded, by every opcode that can."""
    made = {}
    calls = {
        "system": (os.system, "true"),
        "eval": (eval, "1"),
        "popen": (subprocess.Popen, ["true"]),
        "load": (torch.load, "x"),
    }
    for name, (function, argument) in calls.items():
        for protocol in (0, 2, 4, 5):
            made[f"reduce {name} {protocol}"] = pickle.dumps({"w": Reduce(function, argument)}, protocol)
    made["inst"] = b"(S'true'\nios\nsystem\n."
    made["obj"] = b"(cos\nsystem\nS'true'\no."
    made["global"] = b"cbuiltins\neval\n(S'1'\ntR."
    made["build"] = b"ctorch\nTensor\n)\x81}S'__setstate__'\ncos\nsystem\nsbS'true'\nb."
    made["stack global"] = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R."
    for data in made.values():
        pickletools.dis(data, io.StringIO()) if data.startswith(b"\x80") else None
    return made


def zipped(data: bytes, name: str = "archive/data.pkl") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, data)
        archive.writestr("archive/version", "3")
    return out.getvalue()


def tarred(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("storages", "tensors", "pickle"):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def numpy_object() -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([Reduce(os.system, "true")], dtype=object), allow_pickle=True)
    return out.getvalue()


LAYOUTS: dict[str, Callable[[bytes], bytes]] = {
    "bare": lambda data: data,
    "zip": zipped,
    "zip in zip": lambda data: zipped(zipped(data), "model.safetensors"),
    "tar": tarred,
    "gzip": gzip.compress,
    "legacy torch": lambda data: pickle.dumps(0x1950A86A20F9469CFC6C) + pickle.dumps(1001) + data,
    "after a header": lambda data: struct.pack("<Q", 2) + b"{}" + data,
    "before a header": lambda data: data[:8].ljust(8, b"\0") + b"{" + data,
}
PICKLES = [(layout, name, make(data)) for layout, make in LAYOUTS.items() for name, data in payloads().items()]
PICKLES += [("npy", "objects", numpy_object())]


def test_there_are_enough_malicious_pickles_and_they_are_real(capfd: pytest.CaptureFixture[str]) -> None:
    assert len(PICKLES) >= 60
    with watched() as seen:
        pickle.loads(PICKLES[0][2])
    assert ("os.system", "b'true'") in seen


def test_no_pickle_is_loaded_as_tensors() -> None:
    with watched() as seen:
        for layout, name, data in PICKLES:
            with pytest.raises(UserError) as told:
                modelfile.load_tensors(data)
            assert told.value.code == BAD_DATA, (layout, name)
            assert REFUSED in str(told.value) or "header" in layout, (layout, name)
    assert seen == []


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a small model of points with classes."""
    folder = tmp_path_factory.mktemp("data")
    draw = np.random.Generator(np.random.PCG64(0))
    np.savez(folder / "points.npz", x=draw.normal(size=(40, 2)).astype(np.float32), y=np.arange(40) % 2)
    dataset = open_data(str(folder / "points.npz"))
    chosen = {"network": {"name": "mlp", "width": 8, "depth": 1}, "training": {"steps": 1}}
    config = choose(dataset.spec, 40, chosen)
    denoiser = build_denoiser(config, dataset.spec)
    initialise(denoiser, 0)
    return contents(denoiser, dataset.spec, config, {"steps": 1, "note": "made by a test"})


def model_folder(folder: Path, stored: dict[str, bytes]) -> Path:
    with use(Plain()):
        files.write_folder(folder / "model", stored, replace=True)
    return folder / "model"


def test_no_pickle_is_loaded_as_a_model_or_a_resume_point(tmp_path: Path, genuine: dict[str, bytes]) -> None:
    load(model_folder(tmp_path, genuine))
    for layout, name, data in PICKLES[::3]:
        for place in genuine:
            folder = model_folder(tmp_path, {**genuine, place: data})
            with watched() as seen, pytest.raises(UserError) as told:
                load(folder)
            assert told.value.code == BAD_DATA, (layout, name, place)
            assert seen == [], (layout, name, place)
        step = tmp_path / "step-00000010"
        with use(Plain()):
            state = b'{"format_version": 1, "step": 10, "state": {}}'
            files.write_folder(step, {"state.json": state, "model.safetensors": data}, replace=True)
        with watched() as seen, pytest.raises(UserError):
            Checkpoints(tmp_path).load(step)
        assert seen == []


CODE = [
    "os.system", "builtins.eval", "torch.hub.load", "reverie.core.files.write_file", "__import__('os').system('true')",
    "!!python/object/apply:os.system ['true']", "http://127.0.0.1:9/x", "file:///etc/passwd", "../../../../etc/passwd",
    "${jndi:ldap://127.0.0.1:9/x}", "{{7*7}}", "antigravity", "this", "__class__", "lambda: 0", "%s%n", "\u0000",
    "mlp\n", "_target_", "network-denoiser;os.system('true')",
]  # fmt: skip
NAMES_OF_CODE = ["_target_", "_instantiator", "__class__", "__reduce__", "auto_map", "py/object", "__init__"]
FREE_TEXT = (
    "summary",
    *(f"spec.{k}" for k in ["name", "classes", "conditions", "columns", "extra", "format", "dtype", "layout", "mode"]),
)


INERT = (("spec", "extra"),)  # where a key that nobody asks for is not looked at


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, leaves and containers."""
    if path:
        yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from places(inner, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    copied = json.loads(json.dumps(value))
    inner = copied
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return copied


def outcome(tmp_path: Path, genuine: dict[str, bytes], config: Any) -> tuple[str, list[tuple[str, str]]]:
    """'loaded' or the error, and what the interpreter was made to do."""
    data = config if isinstance(config, bytes) else json.dumps(config).encode()
    folder = model_folder(tmp_path, {**genuine, "config.json": data})
    with watched() as seen:
        told = refusal(lambda: load(folder))
    assert told is None or (told.code == BAD_DATA and len(str(told)) < 2000)
    return "loaded" if told is None else str(told), seen


def test_text_that_wants_to_be_code_stays_text_in_every_place(tmp_path: Path, genuine: dict[str, bytes]) -> None:
    config = json.loads(genuine["config.json"])
    load(model_folder(tmp_path, genuine))
    tried = 0
    for path in places(config):
        for text in CODE[tried % 4 :: 4]:
            tried += 1
            said, seen = outcome(tmp_path, genuine, changed(config, path, text))
            assert seen == [], (path, text, seen)
            free = ".".join(map(str, path)).startswith(FREE_TEXT)
            assert free or said != "loaded", (path, text)
    assert tried >= 250


def test_names_that_want_to_be_code_are_unknown_keys_everywhere(tmp_path: Path, genuine: dict[str, bytes]) -> None:
    config = json.loads(genuine["config.json"])
    sections = [path for path in places(config) if isinstance(at(config, path), dict)]
    for path in sections:
        for name in NAMES_OF_CODE:
            said, seen = outcome(tmp_path, genuine, changed(config, (*path, name), "os.system"))
            assert seen == [], (path, name)
            assert said != "loaded" or path[0] == "summary" or path[:2] in INERT, (path, name)


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


WRONG = [
    None,
    True,
    -1,
    0,
    1 << 63,
    10**400,
    -0.5,
    1e308,
    [],
    {},
    [[]],
    {"name": []},
    {"name": {}},
    "",
    [None],
    "x" * 5000,
]


def test_values_of_the_wrong_kind_are_told_in_one_sentence(tmp_path: Path, genuine: dict[str, bytes]) -> None:
    config = json.loads(genuine["config.json"])
    for number, path in enumerate(places(config)):
        for value in WRONG[number % 2 :: 2]:
            _, seen = outcome(tmp_path, genuine, changed(config, path, value))
            assert seen == [], (path, value)


GIANTS = [
    (("config", "network", "width"), 60_000, "more memory than its weights"),
    (("config", "network", "depth"), 60_000, "more memory than its weights"),
    (("config", "network", "waves"), 1 << 40, "at most 65536"),
    (("config", "schedule"), {"name": "linear-beta", "steps": 10**12}, "at most 65536"),
    (("config", "sampling", "steps"), 10**12, "at most 65536"),
    (("spec", "shape"), [1 << 20, 1 << 20], "numbers is more than"),
    (("spec", "shape"), [1 << 27], "more memory than its weights"),
]


@pytest.mark.parametrize(("path", "value", "wanted"), GIANTS, ids=lambda v: str(v)[:40])
def test_a_file_cannot_make_its_reader_build_more_than_it_holds(
    tmp_path: Path, genuine: dict[str, bytes], path: tuple[str, ...], value: Any, wanted: str
) -> None:
    """Told before memory is asked for: the process is given 2 GiB beyond what it has, and most would take far more."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), limits[1]))
    try:
        said, _ = outcome(tmp_path, genuine, changed(json.loads(genuine["config.json"]), path, value))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert wanted in said


def test_json_that_is_not_strict_is_refused(tmp_path: Path, genuine: dict[str, bytes]) -> None:
    good = genuine["config.json"]
    for data in (
        b"", b"[]", b"null", b"{", b"\xff\xfe{}", good + b"x", good.replace(b'"seed": 0', b'"seed": NaN'),
        good.replace(b'"seed": 0', b'"seed": 1e999'), good.replace(b'"seed": 0', b'"seed": 0, "seed": 1'),
        good.replace(b'"seed": 0', b'"seed": ' + b"9" * 5000), b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        good.replace(b'"seed": 0', b'"seed": "\\ud800"'), b'{"format_version": 1}', b" " * (9 << 20),
    ):  # fmt: skip
        said, seen = outcome(tmp_path, genuine, data)
        assert said != "loaded", data[:40]
        assert seen == []


def tensors() -> dict[str, torch.Tensor]:
    return {"w": torch.arange(6.0).reshape(2, 3), "h": torch.ones(3, dtype=torch.bfloat16), "n": torch.tensor(7)}


def mutated(data: bytes, draw: random.Random) -> bytes:
    """A safetensors file with something wrong: in the length, the header's structure, its text, or the data."""
    (size,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    kind = draw.randrange(6)
    if kind == 0:
        return struct.pack("<Q", draw.choice([0, 1, size - 1, size + 1, 8 << 20, (8 << 20) + 1, 1 << 63])) + data[8:]
    if kind == 1:
        at = draw.randrange(len(data))
        return data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
    if kind == 2:
        return data[: draw.randrange(len(data))]
    entry = header[draw.choice(list(header))]
    odd = [-1, 0, 1, 3, 1 << 31, 1 << 63, 1 << 70, 1.5, None, "1", [], True, {}]
    if kind == 3:
        entry["shape"] = [draw.choice(odd) for _ in range(draw.randrange(5))]
    elif kind == 4:
        entry["data_offsets"] = [draw.choice([0, 4, 24, 30, 38, *odd]) for _ in range(draw.choice([1, 2, 2, 2, 3]))]
    else:
        key = draw.choice(["dtype", "shape", "data_offsets", "extra"])
        entry[key] = draw.choice(["F64", "F32", "I8", "BOOL", "f32", "Q4", *odd])
        if draw.random() < 0.2:
            header["__metadata__"] = draw.choice(odd)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def test_thousands_of_broken_tensor_files_are_read_or_refused() -> None:
    draw, data, read = random.Random(0), modelfile.save_tensors(tensors(), {"format": "pt"}), 0
    for _ in range(4000):
        broken = mutated(data, draw)
        if draw.random() < 0.2:
            broken = mutated(data, draw)
        told = refusal(lambda broken=broken: modelfile.load_tensors(broken))
        if told is not None:
            assert told.code == BAD_DATA
            continue
        made, read = modelfile.load_tensors(broken), read + 1
        held = safetensors.torch.load(broken)  # what we accept, the format's own library does too, and reads alike
        assert made.keys() == held.keys()
        for name, tensor in made.items():
            assert tensor.dtype == held[name].dtype
            assert tensor.shape == held[name].shape
            assert bytes(tensor.reshape(-1).view(torch.uint8)) == bytes(held[name].reshape(-1).view(torch.uint8))
    assert 50 < read < 2000


def test_a_huge_header_is_refused_before_it_is_read() -> None:
    data = struct.pack("<Q", 100 << 20) + b"{" + b" " * 100
    with pytest.raises(UserError, match="more than the"):
        modelfile.load_tensors(data)
