"""A model file's description may ask for no more memory than its weights do.

A few bytes of text can describe a network larger than any memory. So while one is built, every tensor that is made by
its size is counted beforehand against the tensors that came with the description: a network that has what the file has
is built, and one that would have more is refused before the memory for it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from reverie.core.errors import BAD_DATA, UserError

MADE_BY_SIZE = frozenset(
    (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.eye, torch.arange, torch.linspace)
)
COPIES = 3  # of each weight: it may be drawn more than once
SPARE = 1 << 23  # numbers beyond the file's: tables of a schedule or of positions, which are not stored
SPARE_TENSORS = 1000


class Ration(TorchFunctionMode):
    """Inside `with`, a ValueError before more than `numbers` numbers or `tensors` tensors are made by size.

    >>> with Ration(numbers=10, tensors=5):
    ...     torch.zeros(3, 4)
    Traceback (most recent call last):
        ...
    ValueError: it asks for more memory than its weights do
    """

    def __init__(self, *, numbers: int, tensors: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers, self.tensors = numbers, tensors

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in MADE_BY_SIZE:
            self.tensors -= 1
            self.numbers -= func(*args, **{**kwargs, "device": "meta"}).numel()  # the shape alone, without memory
            if self.tensors < 0 or self.numbers < 0:
                raise ValueError("it asks for more memory than its weights do")
        return func(*args, **kwargs)


@contextmanager
def rationed(weights: Mapping[str, Tensor], where: str) -> Iterator[None]:
    """Build what the description in `where` says, within what its `weights` have use for.

    Whatever is wrong with the description becomes a UserError (exit code 65) that names the place.
    """
    numbers = COPIES * sum(tensor.numel() for tensor in weights.values()) + SPARE
    try:
        with Ration(numbers=numbers, tensors=COPIES * len(weights) + SPARE_TENSORS):
            yield
    except KeyError as error:
        raise UserError(f"{where} lacks {error}", code=BAD_DATA) from error
    except (UserError, TypeError, ValueError, ArithmeticError, AttributeError, LookupError, RuntimeError) as error:
        raise UserError(f"{where}: {str(error)[:500]}", code=BAD_DATA) from error
