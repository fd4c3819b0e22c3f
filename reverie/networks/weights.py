"""The first weights of a network, as a function of a seed."""

from __future__ import annotations

import math

import torch
from torch import nn

from reverie.core.rng import Rng


@torch.no_grad()
def initialise(network: nn.Module, seed: int) -> nn.Module:
    """Draw all weights anew: gain · N(0, 1)/√(fan-in) for layers that state a gain, and offset · N(0, 1) for biases.

    Each parameter has a stream named after it, so that adding a layer leaves the others as they were. Parameters
    outside such layers are set by their module's method `begin()`. Raises ValueError if one would stay unset.
    """
    rng, left = Rng(seed).fork("weights"), {name for name, _ in network.named_parameters()}
    for path, module in network.named_modules():
        prefix = f"{path}." if path else ""
        if hasattr(module, "begin"):
            module.begin()
            left -= {prefix + name for name, _ in module.named_parameters(recurse=False)}
        gain = getattr(module, "gain", None)
        if gain is None:
            continue
        weight, bias = module.weight, getattr(module, "bias", None)
        fan_in = 1 if isinstance(module, nn.Embedding) else math.prod(weight.shape[1:])
        drawn = rng.fork(prefix + "weight").normal(torch.empty(1, *weight.shape))[0]
        weight.copy_(drawn * (float(gain) / math.sqrt(fan_in)))
        left.discard(prefix + "weight")
        if bias is not None:
            bias.copy_(rng.fork(prefix + "bias").normal(torch.empty(1, *bias.shape))[0] * module.offset)
            left.discard(prefix + "bias")
    if left:
        raise ValueError(f"no rule says how {', '.join(sorted(left))} begin")
    return network
