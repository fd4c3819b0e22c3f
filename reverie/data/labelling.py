"""Labels of files from the folders that they lie in.

A part of the path that all files share says nothing and is dropped. If folders called train and test (or val) come
first, they are the official parts, and the class is the folder below. Class folders are the first level that is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from reverie.data.base import Dataset, named_labels

TRAIN = {"train", "training", "train_images", "trainset"}
TEST = {"test", "testing", "val", "valid", "validation", "test_images", "testset"}


def label_by_folder(data: Dataset, names: Sequence[str]) -> None:
    """Give the dataset, whose example i is the file names[i], the labels and the test part that its folders say."""
    folders = [name.split("/")[:-1] for name in names]
    folders = _without_shared(folders)
    parts = {f[0].lower() for f in folders if f}
    if all(folders) and len(parts) > 1 and parts <= TRAIN | TEST and parts & TRAIN:
        held = torch.tensor([f[0].lower() in TEST for f in folders])
        data.held = held
        data.report.note(f"official test part: {int(held.sum())} of {len(held)} examples are held out")
        folders = _without_shared([f[1:] for f in folders])
    if not any(folders):
        return
    if not all(folders):
        data.report.note("pictures lie both beside and in sub-folders: no labels are taken from the folders")
        return
    classes = [f[0] for f in folders]
    if len(set(classes)) == len(classes) > 1:
        data.report.note("every sub-folder holds a single example: no labels are taken from the folders")
        return
    set_labels(data, classes, "folders")


def _without_shared(folders: list[list[str]]) -> list[list[str]]:
    """Without the leading folders that all files have in common."""
    while folders and all(folders) and len({f[0] for f in folders}) == 1:
        folders = [f[1:] for f in folders]
    return folders


def set_labels(data: Dataset, values: Sequence[object], how: str) -> None:
    """Number the values and keep their names; `how` ("folders", "text", "index") goes to the writer."""
    data.label, classes = named_labels(values)
    data.spec = replace(data.spec, classes=classes, extra=data.spec.extra | {"labels": how})
    counts = torch.bincount(data.label, minlength=len(classes)).tolist()
    data.report.labels = dict(zip(classes, counts, strict=True))
