"""Small data sets of every form: name → a function that makes it in a folder and returns the path to open."""

import gzip
import io
import json
import tarfile
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from reverie.data.encode import encode_picture
from reverie.data.saving import idx_bytes, npy_bytes

COUNT = 12
DTYPES = {"1": np.uint8, "F": np.float32, "I": np.int32}
PLANES = {"LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}
Make = Callable[[Path, np.random.Generator], Path]
MADE: dict[str, Make] = {}


def made(make: Make) -> Make:
    MADE[make.__name__.replace("_", " ")] = make
    return make


def pixels(rng, mode="RGB", size=(28, 28)):
    """Random pixels that reach both ends of the mode's range."""
    deep, base = mode.endswith(";16"), mode.removesuffix(";16")
    shape = (*size, PLANES[base]) if base in PLANES else size
    if mode == "F":
        return rng.normal(300, 40, shape).astype(np.float32)
    top = 1 if mode == "1" else 65535 if deep else 255
    values = rng.integers(0, top + 1, shape)
    values.flat[:2] = 0, top
    return values.astype(np.uint16 if deep else DTYPES.get(mode, np.uint8))


def png(rng, mode="RGB", size=(28, 28)) -> bytes:
    return encode_picture(pixels(rng, mode, size), "png", mode)


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def pictures(mode, format="png", size=(28, 28)) -> Make:
    def make(folder, rng):
        for i in range(COUNT):
            write(folder / f"{i}.{format[:3]}", encode_picture(pixels(rng, mode, size), format, mode))
        return folder

    return make


for _mode in ("1", "L", "LA", "RGB", "RGBA", "I;16", "LA;16", "RGB;16", "RGBA;16"):
    MADE[f"png {_mode}"] = pictures(_mode)
for _mode in ("L", "CMYK", "I;16", "RGB;16", "F"):
    MADE[f"tiff {_mode}"] = pictures(_mode, "tiff")
for _size in ((37, 53), (20, 200), (1, 9)):
    MADE[f"png {_size[0]}x{_size[1]}"] = pictures("RGB", size=_size)


@made
def jpeg_in_class_folders(folder, rng):
    for i in range(COUNT):
        file = io.BytesIO()
        Image.fromarray(pixels(rng)).save(file, "JPEG")
        write(folder / "abc"[i % 3] / f"{i}.jpg", file.getvalue())
    return folder


@made
def train_and_test_folders(folder, rng):
    for i in range(COUNT):
        write(folder / ("test" if i % 4 == 0 else "train") / "xy"[i % 2] / f"{i}.png", png(rng, "L"))
    return folder


@made
def labels_in_csv(folder, rng):
    rows = ["file,label,age"]
    for i in range(COUNT):
        write(folder / f"p{i}.png", png(rng, "L"))
        rows.append(f"p{i}.png,{['cat', 'dog'][i % 2]},{i / 2}")
    write(folder / "labels.csv", "\n".join(rows))
    return folder


@made
def labels_in_jsonl(folder, rng):
    rows = []
    for i in range(COUNT):
        write(folder / "images" / f"p{i}.png", png(rng, "L"))
        rows.append(json.dumps({"file_name": f"images/p{i}.png", "label": i % 3}))
    write(folder / "metadata.jsonl", "\n".join(rows))
    return folder


@made
def zip_of_class_folders(folder, rng):
    path = folder / "set.zip"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(COUNT):
            archive.writestr(f"set/{'uv'[i % 2]}/{i}.png", png(rng, "L"))
    return path


def tar(path: Path, members: dict[str, bytes], mode="w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@made
def webdataset_shard(folder, rng):
    members = {}
    for i in range(COUNT):
        members |= {f"{i:04d}.png": png(rng, "L"), f"{i:04d}.cls": str(i % 2).encode(), f"{i:04d}.txt": b"caption"}
    return tar(folder / "shard.tar", members)


@made
def webdataset_shards(folder, rng):
    for shard in range(2):
        members = {}
        for i in range(COUNT // 2):
            members[f"{shard}{i}.png"] = png(rng)
            members[f"{shard}{i}.json"] = json.dumps({"label": "pq"[i % 2], "age": i}).encode()
        tar(folder / f"shard-{shard}.tar", members)
    return folder


@made
def gzipped_tar(folder, rng):
    return tar(folder / "set.tar.gz", {f"{'ab'[i % 2]}/{i}.png": png(rng, "L") for i in range(COUNT)}, "w:gz")


def array(shape, dtype, low=None, high=None) -> Make:
    def make(folder, rng):
        kind = np.dtype(dtype).kind
        values = rng.normal(5, 3, (COUNT, *shape)) if kind == "f" else rng.integers(0, 1000, (COUNT, *shape))
        if low is not None:
            values = rng.integers(low, high + 1, (COUNT, *shape))
            values.reshape(-1)[:2] = low, high
        return write(folder / "data.npy", npy_bytes(values.astype(dtype)))

    return make


MADE |= {
    "npy vectors": array((7,), "f4"),
    "npy points": array((2,), "f8"),
    "npy five channels": array((5, 28, 28), "f4"),
    "npy thirteen channels last": array((37, 53, 13), "u2", 0, 65535),
    "npy bytes": array((28, 28), "u1", 0, 255),
    "npy twelve bits": array((16, 16), "u2", 0, 4095),
    "npy volumes": array((6, 9, 7), "f4"),
    "npy whole volumes": array((2, 6, 9, 7), "i2", -900, 900),
    "npy two leads": array((2, 256), "i2", -900, 900),
    "npy bits": array((8, 8), "?", 0, 1),
    "npy bytes as floats": array((12, 12, 3), "f4", 0, 255),
    "npy half": array((10, 11), "f2"),
}


def waves(rng, length=187):
    time, start = np.linspace(0, 6, length), rng.uniform(0, 6, (COUNT, 1))
    return np.sin(time + start) * rng.uniform(3, 7, (COUNT, 1)) + 2


@made
def npy_signals(folder, rng):
    write(folder / "data_labels.npy", npy_bytes(np.arange(COUNT) % 3 + 4))
    return write(folder / "data.npy", npy_bytes(waves(rng).astype(np.float32)))


def npz(path: Path, **arrays) -> Path:
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return write(path, file.getvalue())


@made
def npz_with_names(folder, rng):
    x, y = rng.integers(0, 256, (COUNT, 9, 9, 3)).astype(np.uint8), np.arange(COUNT) % 2
    x.flat[:2] = 0, 255
    return npz(folder / "data.npz", images=x, labels=y, class_names=np.array(["no", "yes"]))


@made
def npz_with_conditions(folder, rng):
    place = rng.normal(size=(COUNT, 2)).astype(np.float32)
    return npz(folder / "data.npz", x=rng.normal(size=(COUNT, 5)), age=np.arange(COUNT), place=place)


@made
def idx_with_test_part(folder, rng):
    for part, count in (("train", COUNT), ("t10k", 4)):
        x = rng.integers(0, 256, (count, 10, 11)).astype(np.uint8)
        x.flat[:2] = 0, 255
        labels = (np.arange(count) % 2).astype(np.uint8)
        write(folder / f"{part}-images-idx3-ubyte.gz", gzip.compress(idx_bytes(x)))
        write(folder / f"{part}-labels-idx1-ubyte.gz", gzip.compress(idx_bytes(labels)))
    return folder


def cifar(folder, rng, head, files):
    for k, name in enumerate(files):
        records = rng.integers(0, 256, (COUNT, head + 3072)).astype(np.uint8)
        records[:, :head] = (np.arange(COUNT) % 3)[:, None]
        records[0, head : head + 2] = 0, 255
        write(folder / name, records.tobytes()) if k < 3 else None
    return folder


@made
def cifar_10(folder, rng):
    write(folder / "batches.meta.txt", "ant\nbee\ncow\n")
    return cifar(folder, rng, 1, ("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"))


@made
def cifar_100(folder, rng):
    return cifar(folder, rng, 2, ("train.bin", "test.bin"))


def row(*cells) -> str:
    return ",".join(map(str, cells))


@made
def table_with_categories(folder, rng):
    rows = ["length,count,colour,species"]
    rows += [row(rng.normal(), rng.integers(9), ("red", "blue")[i % 2], ("b", "a")[i % 2]) for i in range(COUNT)]
    return write(folder / "data.csv", "\n".join(rows))


@made
def table_with_labels(folder, rng):
    rows = ["length\tlabel\tcount"] + [f"{rng.normal()}\t{i % 2 + 7}\t{rng.integers(9)}" for i in range(COUNT)]
    return write(folder / "data.tsv", "\n".join(rows))


@made
def table_without_header(folder, rng):
    text = "\n".join(row(*rng.normal(size=4)) for _ in range(COUNT))
    return write(folder / "data.csv.gz", gzip.compress(text.encode()))


@made
def table_of_json_lines(folder, rng):
    rows = [json.dumps({"a": rng.normal(), "b": int(rng.integers(9)), "c": "xy"[i % 2]}) for i in range(COUNT)]
    return write(folder / "data.jsonl", "\n".join(rows))


@made
def signals_in_text(folder, rng):
    return write(folder / "data.csv", "\n".join(row(i % 2 + 1, *v) for i, v in enumerate(waves(rng, 64))))


@made
def series_with_test_part(folder, rng):
    for part in ("TRAIN", "TEST"):
        head = "# made\n@problemName made\n@timeStamps false\n@classLabel true a b\n@data\n"
        body = "\n".join(row(*v) + f":{'ab'[i % 2]}" for i, v in enumerate(waves(rng, 40)))
        write(folder / f"made_{part}.ts", head + body + "\n")
    return folder / "made_TRAIN.ts"


def sounds(width, channels) -> Make:
    def make(folder, rng):
        for i in range(COUNT):
            path = write(folder / ["hi", "lo"][i % 2] / f"{i}.wav", b"")
            with wave.open(str(path), "wb") as file:
                file.setnchannels(channels)
                file.setsampwidth(width)
                file.setframerate(8000)
                file.writeframes(rng.integers(0, 256, 200 * channels * width).astype(np.uint8).tobytes())
        return folder

    return make


MADE |= {
    "wav 8 bits": sounds(1, 2),
    "wav 16 bits": sounds(2, 1),
    "wav 24 bits": sounds(3, 1),
    "wav 32 bits": sounds(4, 1),
}


@made
def arrays_one_a_file(folder, rng):
    for i in range(COUNT):
        write(folder / ["on", "off"][i % 2] / f"{i}.npy", npy_bytes(rng.normal(size=(3, 17, 19)).astype(np.float32)))
    return folder
