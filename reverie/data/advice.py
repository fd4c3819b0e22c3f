"""Files that are recognised by how they begin but are no data set: what they are, and what to do instead."""

from __future__ import annotations

from pathlib import Path

from reverie.core.errors import BAD_DATA, UserError
from reverie.data.sources import is_picture

PICKLE = "a pickle, which is never loaded since it can run code; save it with np.savez"
ADVICE = {  # how files begin that are recognised and not read, and what to do about it
    b"\x80\x02": PICKLE,
    b"\x80\x03": PICKLE,
    b"\x80\x04": PICKLE,
    b"\x80\x05": PICKLE,
    b"\x89HDF": "an HDF5 file; save the array in it with np.save",
    b"MATLAB": "a MATLAB file; save the array in it with np.save",
    b"ARROW1": "an Arrow file; name the folder that Hugging Face's save_to_disk made, or save it as Parquet",
    b"fLaC": "a FLAC file; turn it into WAV",
    b"ID3": "an MP3 file; turn it into WAV",
    b"OggS": "an Ogg file; turn it into WAV",
    b"%PDF": "a PDF document",
    b"7z\xbc\xaf": "a 7-zip archive; unpack it, or pack it as zip or tar",
    b"Rar!": "a RAR archive; unpack it, or pack it as zip or tar",
    b"(\xb5/\xfd": "packed with Zstandard; unpack it",
    b"\xfd7zXZ": "packed with xz; unpack it",
    b"BZh": "packed with bzip2; unpack it",
}


def advise(path: Path, start: bytes) -> None:
    """Raise the error that says what to do with a file that is recognised but is no data set."""
    if is_picture(start):
        raise UserError(f"'{path}' is a single picture; name the folder that holds the pictures", code=BAD_DATA)
    if start[:4] == b"RIFF":
        raise UserError(f"'{path}' is a single recording; cut it into WAV files and name their folder", code=BAD_DATA)
    for magic, what in ADVICE.items():
        if start.startswith(magic):
            raise UserError(f"'{path}' is {what}", code=BAD_DATA)
