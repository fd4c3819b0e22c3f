"""Files made to break a reader: each is used or refused with a reason, quickly, in little memory, and nothing runs.

The limits are those that a user would notice: 5 seconds a file, 200 MiB of memory in all.
"""

import contextlib
import io
import os
import resource
import socket
import struct
import sys
import tarfile
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from made_data import COUNT, npz, png, tar, write
from PIL import Image

from reverie.core.errors import UserError
from reverie.data import open_data
from reverie.data.check import examine
from reverie.data.decode import read_head, read_picture
from reverie.data.limits import Unreadable
from reverie.data.saving import idx_bytes, npy_bytes

SECONDS, MEMORY = 5.0, 200  # of one file; MiB of all


class Growth:
    """MiB by which this process grew at most since the object was made (on Linux the high-water mark is set back)."""

    def __init__(self) -> None:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self.before = self.peak()

    @staticmethod
    def peak() -> float:
        with contextlib.suppress(OSError):
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM"))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)

    def __float__(self) -> float:
        return self.peak() - self.before


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def encoded(rng, format, mode="RGB", **options) -> bytes:
    shape = (40, 30, 3) if mode == "RGB" else (40, 30)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)).save(file, format, **options)
    return file.getvalue()


def seeds(rng) -> list[bytes]:
    """Whole files of every kind that is read."""
    frames = [Image.fromarray(rng.integers(0, 256, (20, 20)).astype(np.uint8)) for _ in range(3)]
    moving = io.BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        encoded(rng, "PNG"),
        encoded(rng, "PNG", "L"),
        png(rng, "RGB;16"),
        png(rng, "LA;16"),
        encoded(rng, "JPEG"),
        encoded(rng, "JPEG", progressive=True, exif=exif),
        encoded(rng, "WEBP"),
        encoded(rng, "WEBP", lossless=True),
        encoded(rng, "BMP"),
        encoded(rng, "TIFF", compression="tiff_deflate"),
        encoded(rng, "TIFF", compression="tiff_lzw"),
        encoded(rng, "TIFF"),
        moving.getvalue(),
        encoded(rng, "PPM"),
    ]


def mutated(data: bytes, rng) -> bytes:
    """The file with bytes changed, cut, doubled, or a length field made absurd."""
    raw = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        if not raw:
            break
        at, what = int(rng.integers(len(raw))), int(rng.integers(6))
        if what == 0:
            raw[at] = int(rng.integers(256))
        elif what == 1:
            raw[at] ^= 1 << int(rng.integers(8))
        elif what == 2:
            del raw[at : at + int(rng.integers(1, 64))]
        elif what == 3:
            raw[at:at] = raw[at : at + int(rng.integers(1, 64))]
        elif what == 4:
            raw[at : at + 4] = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0")[int(rng.integers(3))]
        else:
            raw = raw[: max(1, at)]
    return bytes(raw)


def test_five_hundred_mutated_pictures_are_read_or_refused(rng):
    originals = seeds(rng)
    for data in originals:
        read_picture(data)
    grown, used, refused = Growth(), 0, 0
    for number in range(500):
        data = mutated(originals[number % len(originals)], rng)
        begun = time.process_time()
        try:
            read_head(data)
            picture = read_picture(data)
            used += picture.pixels.size > 0
        except Unreadable as why:
            refused += bool(str(why))
        assert time.process_time() - begun < SECONDS, number
    assert used + refused == 500
    assert min(used, refused) > 25
    assert float(grown) < MEMORY


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bare_png(width, height, *extra: bytes, rows=b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join((chunk(b"IHDR", head), *extra, chunk(b"IDAT", rows), chunk(b"IEND", b"")))


def zeros(count: int) -> bytes:
    return zlib.compress(bytes(count), 9)


def many_frames() -> bytes:
    first = io.BytesIO()
    Image.new("L", (4, 4)).save(first, "GIF")
    data = first.getvalue()
    block = data[data.index(b"\x2c") : -1]
    return data[:-1] + block * 20_000 + b";"


def looped_tiff() -> bytes:
    entry = struct.pack("<HHII", 256, 4, 1, 8)
    return struct.pack("<2sHIH", b"II", 42, 8, 1) + entry + struct.pack("<I", 8)


PICTURES = {
    "400 megapixels": lambda: bare_png(20_000, 20_000, rows=zeros(2**20)),
    "a bomb below the limit of pixels": lambda: bare_png(8000, 7900, rows=zeros(8000 * 7901)),
    "two gigabytes of text by its header": lambda: bare_png(2, 2)[:33] + struct.pack(">I", 2**31 - 1) + b"tEXt" + b"x",
    "text that expands": lambda: bare_png(2, 2, chunk(b"zTXt", b"a\0\0" + zeros(2**27)), rows=zlib.compress(bytes(6))),
    "a profile that expands": lambda: bare_png(
        2, 2, chunk(b"iCCP", b"a\0\0" + zeros(2**27)), rows=zlib.compress(bytes(6))
    ),
    "ten thousand texts": lambda: bare_png(2, 2, *[chunk(b"tEXt", b"k\0v")] * 10_000, rows=zlib.compress(bytes(6))),
    "twenty thousand frames": many_frames,
    "a loop of directories": looped_tiff,
    "PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) run\n",
    "a PDF": lambda: b"%PDF-1.7\n1 0 obj\n",
    "a FITS file": lambda: b"SIMPLE  =                    T\n" + b" " * 2880,
    "a link in SVG": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "a pickle": lambda: b"\x80\x04cos\nsystem\n(S'true'\ntR.",
}


@pytest.mark.parametrize("case", PICTURES)
def test_a_hostile_picture_is_refused_by_name_in_a_second(case, tmp_path, rng):
    for i in range(COUNT):
        write(tmp_path / f"good-{i}.png", png(rng, "L", (2, 2)))
    write(tmp_path / "bad.png", PICTURES[case]())
    grown, begun = Growth(), time.process_time()
    data = open_data(tmp_path)
    assert time.process_time() - begun < 1.5
    assert float(grown) < MEMORY
    assert data.report.found == data.report.used + data.report.skipped == COUNT + 1
    skipped = dict(data.report.unreadable)
    if data.report.used == COUNT:
        assert skipped["bad.png"]


def members(*names: str) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    wanted = [*(f"good/{i}.png" for i in range(COUNT)), *names]
    return {name: png(rng, "L", (4, 4)) for name in wanted}


def linked_tar(path, kind, target=b"") -> None:
    tar(path, members())
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("evil.png")
        info.type, info.linkname = kind, target.decode()
        archive.addfile(info)


def zipped(path, content: dict[str, bytes], how=zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def linked_zip(path) -> None:
    zipped(path, members())
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("evil.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")


def lying_zip(path) -> None:
    """The directory says that a member has 2³¹ bytes."""
    zipped(path, members())
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\x01\x02")
    raw[at + 24 : at + 28] = struct.pack("<I", 2**31)
    path.write_bytes(raw)


def lying_tar(path) -> None:
    """The last header promises more than there is."""
    tar(path, members())
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("evil.png")
        info.size = 2**33
        archive.fileobj.write(info.tobuf())


def lying_npy(path, shape) -> None:
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + bytes(64))


def object_npz(path) -> None:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.array([{}, {}], dtype=object), allow_pickle=True)
    zipped(path, {"x.npy": file.getvalue()})


def deep_json(path) -> None:
    path.write_text('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}\n" + '{"a": 1}')


def wide_csv(path) -> None:
    path.write_text("a,b\n" + '"' + "x" * 3_000_000 + '",1\n')


ARCHIVES = {
    "parent.tar": lambda p: tar(p, members("../../evil.png")),
    "absolute.tar": lambda p: tar(p, members("/absolute/evil.png")),
    "parent.zip": lambda p: zipped(p, members("../evil.png")),
    "backslash.zip": lambda p: zipped(p, members("..\\evil.png")),
    "drive.zip": lambda p: zipped(p, members("C:/evil.png")),
    "symlink.tar": lambda p: linked_tar(p, tarfile.SYMTYPE, b"/etc/passwd"),
    "hardlink.tar": lambda p: linked_tar(p, tarfile.LNKTYPE, b"/etc/passwd"),
    "device.tar": lambda p: linked_tar(p, tarfile.CHRTYPE),
    "pipe.tar": lambda p: linked_tar(p, tarfile.FIFOTYPE),
    "symlink.zip": linked_zip,
    "bomb.zip": lambda p: zipped(p, members() | {"evil.png": bytes(2**27)}),
    "lying.zip": lying_zip,
    "lying.tar": lying_tar,
    "bomb.tar.gz": lambda p: tar(p, {"evil.png": bytes(2**28)}, "w:gz"),
    "cut.tar.gz": lambda p: p.write_bytes(tar(p, members(), "w:gz").read_bytes()[:400]),
    "cut.zip": lambda p: (zipped(p, members()), p.write_bytes(p.read_bytes()[:-30])),
    "nested.zip": lambda p: zipped(p, {"inner.zip": b"PK\x03\x04" + bytes(100)}),
    "bomb.npz": lambda p: zipped(p, {"x.npy": npy_bytes(np.zeros((2**25, 4), np.uint8))}),
    "objects.npz": object_npz,
    "shape.npy": lambda p: lying_npy(p, (2**40, 2**40)),
    "negative.npy": lambda p: lying_npy(p, (-1, 4)),
    "code.npy": lambda p: lying_npy(p, "__import__('os').system('touch hacked')"),
    "shape-idx3-ubyte": lambda p: p.write_bytes(
        struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1) + bytes(9)
    ),
    "deep.jsonl": deep_json,
    "wide.csv": wide_csv,
    "binary.csv": lambda p: p.write_bytes(bytes(range(256)) * 40),
    "model.pkl": lambda p: p.write_bytes(b"\x80\x04cos\nsystem\n(S'touch hacked'\ntR."),
    "wave.wav": lambda p: p.write_bytes(b"RIFF\xff\xff\xff\xffWAVEfmt " + bytes(30)),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_hostile_archive_gives_a_reason_and_writes_nothing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "in" / name
    path.parent.mkdir()
    ARCHIVES[name](path)
    listed = sorted(tmp_path.rglob("*"))
    grown, begun = Growth(), time.process_time()
    finding = examine(str(path))
    assert time.process_time() - begun < SECONDS
    assert float(grown) < MEMORY + path.stat().st_size / 2**20
    assert sorted(tmp_path.rglob("*")) == listed
    assert finding.error or any("evil" in name for name, _ in finding.report.unreadable)
    if finding.data is not None:
        assert finding.report.found == finding.report.used + finding.report.skipped


def test_a_mutant_reader_that_ignores_the_names_of_members_is_caught(tmp_path, monkeypatch):
    monkeypatch.setattr("reverie.data.archives.escapes", lambda name: False)
    finding = examine(str(tar(tmp_path / "parent.tar", members("../../evil.png"))))
    assert not any("evil" in name for name, _ in finding.report.unreadable)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_links_pipes_and_sockets_in_a_folder_are_named_and_never_opened(tmp_path, rng):
    folder = tmp_path / "set"
    for i in range(40):
        write(folder / f"{i}.png", png(rng, "L", (4, 4)))
    write(tmp_path / "secret.png", png(rng, "L", (4, 4)))
    os.mkfifo(folder / "pipe.png")
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "loop").symlink_to(folder)
    (folder / "inside.png").symlink_to(folder / "0.png")
    place = os.getcwd()
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(folder)  # the name of a socket must be short
        server.bind("s.png")
        os.chdir(place)
        data = open_data(folder)
    reasons = dict(data.report.unreadable) | dict(data.report.ignored)
    assert "pipe" in reasons["pipe.png"]
    assert "out of the folder" in reasons["out.png"]
    assert "nowhere" in reasons["gone.png"]
    assert "folder" in reasons["loop"]
    assert "socket" in reasons["s.png"]
    assert len(data) == 41
    assert data.report.found == data.report.used + data.report.skipped


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_instead_of_data_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe"):
        open_data(tmp_path / "pipe")
    with pytest.raises(UserError, match="device"):
        open_data("/dev/zero")


def test_names_that_break_terminals_are_escaped(tmp_path, rng):
    for i in range(COUNT):
        write(tmp_path / f"{i}.png", png(rng, "L", (4, 4)))
    write(tmp_path / "a\x1b[31m\nb.png", b"")
    ((name, reason),) = open_data(tmp_path).report.unreadable
    assert name == "a\\x1b[31m\\nb.png"
    assert "empty" in reason


def test_no_import_command_or_connection_comes_from_data(tmp_path):
    seen: list[str] = []
    watching = [True]

    def watch(event, arguments):
        if watching[0] and event in ("os.system", "subprocess.Popen", "socket.connect", "os.exec", "exec", "pty.spawn"):
            seen.append(event)

    sys.addaudithook(watch)
    try:
        for name in ("objects.npz", "code.npy", "model.pkl"):
            ARCHIVES[name](tmp_path / name)
            examine(str(tmp_path / name))
    finally:
        watching[0] = False
    assert [event for event in seen if event != "exec"] == []
    assert not (tmp_path / "hacked").exists()


def test_more_than_a_tenth_unreadable_stops_with_the_names(tmp_path, rng):
    for i in range(8):
        write(tmp_path / f"{i}.png", png(rng, "L", (4, 4)))
    write(tmp_path / "x.png", b"no")
    with pytest.raises(UserError, match=r"1 of 9 files.*x\.png"):
        open_data(tmp_path)


def test_an_idx_file_and_an_npz_that_are_whole_are_read(tmp_path, rng):
    write(tmp_path / "a-idx3-ubyte", idx_bytes(rng.integers(0, 256, (5, 4, 4)).astype(np.uint8)))
    assert len(open_data(tmp_path / "a-idx3-ubyte")) == 5
    assert len(open_data(npz(tmp_path / "b.npz", x=rng.normal(size=(6, 3))))) == 6
