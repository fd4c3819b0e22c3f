"""What a person looks at: samples in model units → bytes of red, green and blue.

    bounded data       [low, high] → [0, 255]
    unbounded data     mean ± 2.5 standard deviations of each channel → [0, 255], the same for every sample
One channel is grey; two with alpha, four with alpha and CMYK are shown as they print on white; any other number of
channels shows the first three. A volume shows its middle slice.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import UserError
from reverie.data.base import Spec

REACH = 2.5  # standard deviations


def is_picture(spec: Spec) -> bool:
    """Whether samples of this spec can be shown as pictures; points, vectors, tables and signals cannot."""
    return spec.kind in ("image", "volume")


def to_picture(samples: Tensor, spec: Spec) -> np.ndarray:
    """Samples (N, C, H, W) or (N, C, D, H, W) in model units → (N, H, W, 3) uint8.

    Raises UserError where `is_picture(spec)` is false.
    """
    if not is_picture(spec):
        raise UserError(f"samples of kind {spec.kind} are not pictures; draw them as lines or points")
    values = samples.detach().to("cpu", torch.float64)
    if spec.kind == "volume":
        values = values[:, :, values.shape[2] // 2]
    shown = _levels(values, spec).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    colour = _colour(shown, spec)
    return np.rint(colour * 255).astype(np.uint8)


def _levels(values: Tensor, spec: Spec) -> Tensor:
    """Values as shares of the visible range."""
    if spec.scale.low is not None and spec.scale.high is not None and spec.scale.bins is not None:
        return (values + 1) / 2
    if not spec.mean or (spec.scale.low, spec.scale.high) in ((0, 1), (-1, 1)):
        return (values + 1) / 2
    mean, spread = (torch.tensor(v, dtype=values.dtype).reshape(-1, 1, 1) for v in (spec.mean, spec.spread))
    return (values - mean) / (2 * REACH * spread.clamp_min(1e-12)) + 0.5


def _colour(shown: np.ndarray, spec: Spec) -> np.ndarray:
    channels = shown.shape[-1]
    if spec.mode.startswith("CMYK"):
        return (1 - shown[..., :3]) * (1 - shown[..., 3:])
    if spec.mode.startswith(("LA", "RGBA")) or (channels in (2, 4) and spec.scale.bins == 256 and not spec.mode):
        alpha = shown[..., -1:]
        shown, channels = shown[..., :-1] * alpha + (1 - alpha), channels - 1
    if channels == 1:
        return np.repeat(shown, 3, -1)
    if channels == 2:
        return np.concatenate((shown, np.zeros_like(shown[..., :1])), -1)
    return shown[..., :3]
