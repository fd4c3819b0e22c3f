"""Data as people have them: opened by content, measured, described, and written back in their own form."""

from reverie.data.base import Dataset, Spec
from reverie.data.builtin import BUILTIN
from reverie.data.lines import as_saved
from reverie.data.matching import load_like
from reverie.data.opening import open_data
from reverie.data.report import Report
from reverie.data.saving import save
from reverie.data.scale import Scale
from reverie.data.viewing import is_picture, to_picture

__all__ = [
    "BUILTIN",
    "Dataset",
    "Report",
    "Scale",
    "Spec",
    "as_saved",
    "is_picture",
    "load_like",
    "open_data",
    "save",
    "to_picture",
]
