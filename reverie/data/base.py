"""What every kind of data looks like to the rest of the house: a `Dataset` of float32 rows, and the `Spec` that it has.

One example has the shape (C, *space) in model form, channels first: (C, L) signals, (C, H, W) images, (C, D, H, W)
volumes; vectors, points and table rows are (D,). Values are in model units (`Scale`). The spec is stored in every model
file and is all that is needed to write samples back in the data's own form.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from reverie.core.errors import BAD_DATA, UserError, unknown
from reverie.core.rng import Rng
from reverie.data.report import Report
from reverie.data.scale import Scale

PLAIN: dict[str, type] = {"str": str, "int": int, "dict[str, Any]": dict}
KINDS = ("points", "vector", "signal", "image", "volume", "table")


@dataclass(frozen=True)
class Spec:
    """What one example is, and how samples become files again.

    `layout` names the axes of one example as the file has them (C channel, D H W space, L time, V vector entry; "HW"
    has no channel axis). `mode` is Pillow's name of the colour space of images. `mean`, `spread` (per channel) and
    `std` (overall) are those of the data in model units. `extra` holds what only the writer of that format needs.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: str
    format: str
    scale: Scale
    classes: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    name: str = ""
    layout: str = ""
    mode: str = ""
    rate: float = 0.0
    count: int = 0
    mean: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    std: float = 1.0
    condition_mean: tuple[float, ...] = ()
    condition_spread: tuple[float, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown("kind of data", self.kind, KINDS)
        if not self.shape or any(not isinstance(n, int) or n < 1 for n in self.shape):
            raise UserError(f"the shape of an example must be whole numbers above 0, not {self.shape!r}", code=BAD_DATA)

    @property
    def channels(self) -> int:
        return self.shape[0]

    @property
    def dimensions(self) -> int:
        """Numbers in one example."""
        return math.prod(self.shape)

    def label(self, name: str) -> int:
        """The number of a class given by name (or by its number, where no class has that name)."""
        if not self.classes:
            raise UserError(f"label '{name}' was asked for, but the data have no labels")
        if name in self.classes:
            return self.classes.index(name)
        if str(name).isdigit() and int(name) < len(self.classes):
            return int(name)
        raise unknown("label", name, self.classes)

    def standardise(self, values: Mapping[str, float]) -> Tensor:
        """Condition values by name, in their own units, → (K,) float32 as `Dataset.condition` gives them."""
        for name in values:
            if name not in self.conditions:
                raise unknown("condition", name, self.conditions)
        missing = [name for name in self.conditions if name not in values]
        if missing:
            raise UserError(f"a value is needed for each condition; missing: {', '.join(missing)}")
        z = [
            (float(values[name]) - m) / s
            for name, m, s in zip(self.conditions, self.condition_mean, self.condition_spread, strict=True)
        ]
        return torch.tensor(z, dtype=torch.float32)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `Spec.from_json(spec.to_json()) == spec`, also through a JSON file."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain["scale"] = self.scale.to_json()
        return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Spec:
        """Raises UserError for an unknown or missing entry or one of the wrong type; nothing is evaluated."""
        kinds = {f.name: str(f.type) for f in dataclasses.fields(cls)}
        entries: dict[str, Any] = {}
        try:
            for name, given in dict(value).items():
                if name not in kinds:
                    raise unknown("entry of the data's description", name, kinds)
                entries[name] = Scale.from_json(given) if name == "scale" else _typed(given, kinds[name], name)
            return cls(**entries)
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"the data's description cannot be read: {error}", code=BAD_DATA) from error


def _typed(value: Any, annotation: str, name: str) -> Any:
    """A JSON value held against the field's annotation."""
    if annotation.startswith("tuple["):
        inner: Any = {"int": int, "str": str, "float": (int, float)}[annotation[len("tuple[") : -1].split(",")[0]]
        if isinstance(value, list) and all(isinstance(v, inner) for v in value):
            return tuple(float(v) if isinstance(inner, tuple) else v for v in value)
    elif annotation == "float" and isinstance(value, (int, float)):
        return float(value)
    elif annotation in PLAIN and isinstance(value, PLAIN[annotation]):
        return value
    raise TypeError(f"{name} must be {annotation}, not {value!r:.60}")


class Dataset(ABC):
    """Examples by number. `rows` gives them in model units; labels and conditions are None where there are none."""

    spec: Spec
    report: Report
    label: Tensor | None = None  # (N,) int64
    given: Tensor | None = None  # (N, K) float32, standardised
    names: Sequence[str] | None = None  # the file of each example, where each is one file
    held: Tensor | None = None  # (N,) bool: the official test examples, if the format has them

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def rows(self, index: Tensor) -> Tensor:
        """Examples index (B,) int64 on the CPU → (B, *shape) float32 in model units."""

    def labels(self, index: Tensor) -> Tensor | None:
        """(B,) int64, numbers of `spec.classes`; None if unlabelled."""
        return None if self.label is None else self.label[index]

    def condition(self, index: Tensor) -> Tensor | None:
        """(B, K) float32, standardised; None if there are no conditions."""
        return None if self.given is None else self.given[index]

    def native(self, index: Tensor) -> Tensor:
        """The same examples in the file's own units and type, channels first."""
        return self.spec.scale.decode(self.rows(index))

    def on(self, device: str | torch.device) -> Dataset:
        """The same data kept on a device where they fit, so that `rows` copies nothing; itself otherwise."""
        return self

    def ahead(self, index: Tensor) -> None:  # noqa: B027 (doing nothing is right for data in memory)
        """A hint that these rows will be asked for next: data read from files start to read them."""

    def twins(self) -> Tensor | None:
        """(N,) int64: equal numbers for examples with equal content; None where finding out would cost a pass."""
        return None

    def split(self, holdout: float = 0.1, seed: int = 0) -> tuple[Tensor, Tensor]:
        """(train, held-out) example numbers, each sorted: the official test part if there is one, else by seed.

        Examples of equal content stay on one side where that is cheap to know. At least one example is trained on.
        """
        if not 0 <= holdout < 1:
            raise UserError(f"the share held out must be at least 0 and below 1, not {holdout:g}")
        if self.held is not None:
            return (~self.held).nonzero().flatten(), self.held.nonzero().flatten()
        count = len(self)
        wanted = min(count - 1, max(1, round(holdout * count))) if holdout > 0 else 0
        key = Rng(seed).fork("split").uniform(count)
        groups = self.twins()
        if groups is not None:
            key = key[groups]
        by_key = torch.argsort(key, stable=True)
        mask = torch.zeros(count, dtype=torch.bool)
        mask[by_key[:wanted]] = True
        if groups is not None and wanted:
            torn = mask[by_key] & (key[by_key] == key[by_key[min(wanted, count - 1)]])
            mask[by_key[torn]] = False
        return (~mask).nonzero().flatten(), mask.nonzero().flatten()


def named_labels(values: Sequence[Any]) -> tuple[Tensor, tuple[str, ...]]:
    """Labels of any kind → (N,) int64 numbers and the class names, whole numbers in numeric order, else alphabetic."""
    plain = [v.item() if hasattr(v, "item") else v for v in values]
    if all(isinstance(v, (int, bool)) or (isinstance(v, float) and v.is_integer()) for v in plain):
        plain = [int(v) for v in plain]
    names = sorted(set(plain)) if all(isinstance(v, int) for v in plain) else sorted({str(v) for v in plain})
    number = {name: i for i, name in enumerate(names)}
    index = [number[v if isinstance(v, int) and v in number else str(v)] for v in plain]
    return torch.tensor(index, dtype=torch.int64), tuple(str(name) for name in names)
