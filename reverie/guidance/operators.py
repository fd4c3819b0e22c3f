"""Linear measurements y = A x: what was seen of an example.

An operator states `apply` (A x) and `adjoint` (Aᵀ y); what else is needed follows: the pseudo-inverse and the solution
of (g AAᵀ + h) u = r, in closed form where AAᵀ is a multiple of the identity, else by conjugate gradients.
Reference: Song et al. 2023, "Pseudoinverse-guided diffusion models" (ICLR), section 3; Hestenes & Stiefel 1952.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.core.rng import Rng
from reverie.core.tensors import Scalar, expand, sum_features


class Operator(ABC):
    """A linear map of examples x (B, *shape) to measurements (B, *M)."""

    shape: tuple[int, ...]
    gram: float | None = None  # g where AAᵀ = g I on the measurements, None where it is not
    averages: ClassVar[bool] = True  # whether measurements are averages of elements, and so have the data's units

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """A x."""

    def adjoint(self, y: Tensor) -> Tensor:
        """Aᵀ y; by differentiating `apply` where a class does not say it itself."""
        with torch.inference_mode(False), torch.enable_grad():
            x = y.new_zeros(len(y), *self.shape).requires_grad_()
            return torch.autograd.grad(self.apply(x), x, y.clone())[0]

    def solve(self, r: Tensor, gain: Scalar, ridge: Scalar) -> Tensor:
        """u with (gain AAᵀ + ridge) u = r; gain and ridge are numbers or (B,)."""
        g, h = expand(gain, r), expand(ridge, r)
        if self.gram is not None:
            return r / (g * self.gram + h)
        return conjugate_gradients(lambda u: g * self.apply(self.adjoint(u)) + h * u, r, iterations=100)

    def inverse(self, y: Tensor) -> Tensor:
        """A⁺ y = Aᵀ (AAᵀ)⁻¹ y, the smallest x that explains y."""
        return self.adjoint(self.solve(y, 1.0, 0.0))

    def free(self) -> Scalar:
        """The share of each element that a noiseless measurement leaves open, (*shape); 1 where that is not known."""
        return 1.0

    def check(self, x: Tensor) -> None:
        """Raises ValueError where examples have another shape than the operator's."""
        if tuple(x.shape[1:]) != tuple(self.shape):
            raise ValueError(
                f"{type(self).__name__} is for examples of the shape {self.shape}, not {tuple(x.shape[1:])}"
            )


class Identity(Operator):
    """y = x: denoising of a known noise level. Reference: Song et al. 2023 (ICLR), section 3."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.gram = shape, 1.0

    def apply(self, x: Tensor) -> Tensor:
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        return y


class Mask(Operator):
    """y = m x, m 1 where a pixel was seen: inpainting. `mask` is (*shape), or (*space) for all channels.

    Measurements keep the example's shape; unseen ones are 0. Reference: Sohl-Dickstein et al. 2015, section 2.5.
    """

    def __init__(self, mask: Tensor, shape: tuple[int, ...]) -> None:
        if tuple(mask.shape) not in (tuple(shape), tuple(shape[1:])):
            raise ValueError(f"a mask of {_by(mask.shape)} does not fit examples of {_by(shape)}")
        self.mask, self.shape, self.gram = (mask != 0).expand(shape), shape, 1.0

    @classmethod
    def box(cls, shape: tuple[int, ...], box: tuple[int, int, int, int]) -> Mask:
        """Unseen within top, left, height, width of an image."""
        top, left, height, width = box
        if min(box[:2]) < 0 or min(box[2:]) < 1 or top + height > shape[-2] or left + width > shape[-1]:
            raise ValueError(f"the box {box} does not lie in an image of {shape[-2]}×{shape[-1]}")
        mask = torch.ones(shape[-2:])
        mask[top : top + height, left : left + width] = 0
        return cls(mask.expand(shape), shape)

    @classmethod
    def half(cls, shape: tuple[int, ...], side: str = "left") -> Mask:
        """Unseen on one side: left, right, top or bottom."""
        axis = {"left": -1, "right": -1, "top": -2, "bottom": -2}.get(side)
        if axis is None:
            raise ValueError(f"a half is left, right, top or bottom, not '{side}'")
        middle = shape[axis] // 2
        number = torch.arange(shape[axis])
        seen = number >= middle if side in ("left", "top") else number < middle
        return cls((seen if axis == -1 else seen[:, None]).expand(shape), shape)

    @classmethod
    def random(cls, shape: tuple[int, ...], *, share: float = 0.5, seed: int = 0) -> Mask:
        """Each place seen with probability `share`, all channels of it together."""
        if not 0 <= share <= 1:
            raise ValueError(f"the share that is seen must lie between 0 and 1, not {share}")
        space = shape[1:] if len(shape) > 1 else shape
        return cls((Rng(seed).fork("mask").uniform(1, *space)[0] < share).expand(shape), shape)

    def apply(self, x: Tensor) -> Tensor:
        return torch.where(self.mask.to(x.device), x, 0.0)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.apply(y)

    def free(self) -> Scalar:
        return (~self.mask).float()


class Pool(Operator):
    """y = the means of blocks of `factor` along every axis of space: super-resolution.

    Reference: Kadkhodaie & Simoncelli 2021, arXiv:2007.13640, section 3.1.
    """

    def __init__(self, factor: int, shape: tuple[int, ...]) -> None:
        if factor < 1 or len(shape) < 2 or any(n % factor for n in shape[1:]):
            raise ValueError(f"blocks of {factor} do not divide examples of {_by(shape)}")
        self.factor, self.shape, self.size = factor, shape, factor ** (len(shape) - 1)
        self.gram = 1 / self.size

    def apply(self, x: Tensor) -> Tensor:
        for axis in range(2, x.dim()):
            x = x.unflatten(axis, (-1, self.factor)).mean(axis + 1)
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        for axis in range(2, y.dim()):
            y = y.repeat_interleave(self.factor, axis)
        return y / self.size


class Grey(Operator):
    """y = Σ_c w_c x_c, one channel of several: colourisation. Reference: Kawar et al. 2022, arXiv:2201.11793."""

    def __init__(self, shape: tuple[int, ...], *, weights: tuple[float, ...] = ()) -> None:
        channels = shape[0]
        self.weights = torch.tensor(weights or (1 / channels,) * channels, dtype=torch.float64)
        if channels < 2 or len(self.weights) != channels:
            raise ValueError(f"grey needs a weight for each of at least 2 channels; the shape is {_by(shape)}")
        self.shape, self.gram = shape, float((self.weights**2).sum())

    def _shaped(self, like: Tensor) -> Tensor:
        return self.weights.to(like).reshape(-1, *(1,) * (like.dim() - 2))

    def apply(self, x: Tensor) -> Tensor:
        return (self._shaped(x) * x).sum(1, keepdim=True)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._shaped(y) * y


class Blur(Operator):
    """y = k ∗ x for each channel of images, edges repeated.

    Reference: Chung et al. 2023, arXiv:2209.14687, section 4.
    """

    def __init__(self, kernel: Tensor, shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or kernel.dim() != 2 or not all(n % 2 for n in kernel.shape):
            raise ValueError(f"a blur needs images and a kernel of odd sides, not {_by(shape)} and {_by(kernel.shape)}")
        self.kernel, self.shape = kernel.double() / kernel.sum(), shape

    @classmethod
    def gaussian(cls, std: float, shape: tuple[int, ...]) -> Blur:
        """A normal kernel of `std` pixels, cut at 3 std."""
        if not std > 0:
            raise ValueError(f"the width of a blur must be above 0, not {std}")
        reach = max(1, math.ceil(3 * std))
        line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).double() / std) ** 2)
        return cls(line[:, None] * line, shape)

    @classmethod
    def motion(cls, length: int, shape: tuple[int, ...], *, degrees: float = 0.0) -> Blur:
        """A straight line of `length` pixels at an angle, each spread over its four nearest pixels."""
        if length < 1:
            raise ValueError(f"the length of a motion must be at least 1, not {length}")
        reach = math.ceil(length / 2)
        kernel = torch.zeros(2 * reach + 3, 2 * reach + 3, dtype=torch.float64)
        for along in torch.linspace(-(length - 1) / 2, (length - 1) / 2, 4 * length).tolist():
            row = reach + 1 + along * math.sin(math.radians(degrees))
            column = reach + 1 + along * math.cos(math.radians(degrees))
            r, c = int(row), int(column)
            for dr, dc in ((0, 0), (0, 1), (1, 0), (1, 1)):
                kernel[r + dr, c + dc] += (1 - abs(row - r - dr)) * (1 - abs(column - c - dc))
        return cls(kernel, shape)

    def apply(self, x: Tensor) -> Tensor:
        high, wide = (n // 2 for n in self.kernel.shape)
        padded = F.pad(x, (wide, wide, high, high), mode="replicate")
        kernel = self.kernel.to(x).flip(0, 1).expand(x.shape[1], 1, -1, -1)
        return F.conv2d(padded, kernel, groups=x.shape[1])


class Matrix(Operator):
    """y = M x for a matrix (m, D), D the number of elements of an example."""

    averages = False

    def __init__(self, matrix: Tensor, shape: tuple[int, ...]) -> None:
        if matrix.dim() != 2 or matrix.shape[1] != math.prod(shape):
            raise ValueError(f"a matrix of {_by(matrix.shape)} does not fit examples of {_by(shape)}")
        self.matrix, self.shape = matrix.double(), shape
        self.values, self.vectors = torch.linalg.eigh(self.matrix @ self.matrix.T)

    @classmethod
    def random(cls, share: float, shape: tuple[int, ...], *, seed: int = 0) -> Matrix:
        """Compressed sensing: round(share D) random directions, orthonormal. Reference: Candès & Tao 2006."""
        size = math.prod(shape)
        rows = round(share * size)
        if not 1 <= rows <= size:
            raise ValueError(f"the share of measurements must lie between 1/{size} and 1, not {share}")
        drawn = Rng(seed).fork("sensing").normal(torch.empty(1, size, rows, dtype=torch.float64))[0]
        return cls(torch.linalg.qr(drawn)[0].T, shape)

    def apply(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.matrix.T.to(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return (y @ self.matrix.to(y)).reshape(len(y), *self.shape)

    def solve(self, r: Tensor, gain: Scalar, ridge: Scalar) -> Tensor:
        vectors = self.vectors.to(r)
        divisor = expand(gain, r) * self.values.to(r) + expand(ridge, r)
        # directions that are not measured stay 0
        seen = divisor > 1e-12 * self.values[-1].to(r)
        return torch.where(seen, r @ vectors / torch.where(seen, divisor, 1.0), 0.0) @ vectors.T


class Linear(Operator):
    """Any linear map of the user's: `forward` x (B, *shape) → (B, *M), and `backward`, its transpose, if known.

    >>> Linear(lambda x: x[:, ::2], (4,)).adjoint(torch.ones(1, 2)).tolist()
    [[1.0, 0.0, 1.0, 0.0]]
    """

    averages = False

    def __init__(
        self,
        forward: Callable[[Tensor], Tensor],
        shape: tuple[int, ...],
        *,
        backward: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.forward, self.backward, self.shape = forward, backward, shape

    def apply(self, x: Tensor) -> Tensor:
        return self.forward(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return super().adjoint(y) if self.backward is None else self.backward(y)


def conjugate_gradients(
    matrix: Callable[[Tensor], Tensor], b: Tensor, *, iterations: int, tolerance: float = 1e-7
) -> Tensor:
    """x with matrix(x) = b, symmetric and positive, for each example on its own; a finished example stays as it is.

    Reference: Hestenes & Stiefel 1952; Shewchuk 1994, appendix B2.
    """
    x, r = torch.zeros_like(b), b
    p, rr = r, sum_features(r * r)
    least = tolerance**2 * rr
    for _ in range(iterations):
        if bool((rr <= least).all()):
            break
        q = matrix(p)
        curvature = sum_features(p * q)
        # a direction of no or negative curvature (the Jacobian of a network is not quite symmetric) ends the example
        going = (rr > least) & (curvature > 0)
        step = torch.where(going, rr / torch.where(going, curvature, 1.0), 0.0)
        x, r = x + expand(step, b) * p, r - expand(step, b) * q
        new = sum_features(r * r)
        p = (
            r
            + expand(torch.where(going, new / rr.clamp(min=1e-300 if b.dtype == torch.float64 else 1e-30), 0.0), b) * p
        )
        rr = torch.where(going, new, torch.zeros_like(rr))
    return x


def _by(shape: tuple[int, ...] | torch.Size) -> str:
    return "×".join(str(n) for n in shape)
