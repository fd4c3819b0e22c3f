"""What a network costs: its weights and the arithmetic of one example."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from reverie.networks.base import Network


def parameters(network: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(p.numel() for p in network.parameters())


@torch.no_grad()
def flops(network: Network) -> int:
    """Floating-point operations of one example's forward pass in matrix products and convolutions.

    A multiplication and its addition count two. Nothing is computed: the shapes alone go through.
    """
    shadow = copy.deepcopy(network).to("meta").eval()
    x = torch.empty(1, *network.shape, device="meta")
    with FlopCounterMode(display=False) as counter:
        shadow(x, torch.empty(1, device="meta"))
    return counter.get_total_flops()
