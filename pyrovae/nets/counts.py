"""What networks and priors are given in place of counts, which batches hold as integers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Log1p", "as_float", "float_zeros"]


def as_float(x: Tensor) -> Tensor:
    """x, (..., D), integers as float32.

    >>> as_float(torch.tensor([2]))
    tensor([2.])
    """
    return x if x.is_floating_point() else x.to(torch.float32)


def float_zeros(x: Tensor, *shape: int) -> Tensor:
    """Zeros, (*shape), on the device of x and of its dtype, float32 where x is of integers.

    >>> float_zeros(torch.tensor([2]), 3)
    tensor([0., 0., 0.])
    """
    return x.new_zeros(*shape, dtype=x.dtype if x.is_floating_point() else torch.float32)


class Log1p(nn.Module):
    """log(1 + x), (..., D) to (..., D): counts on a scale that a network can take.

    >>> Log1p()(torch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.6931])
    """

    def forward(self, x: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        return torch.log1p(as_float(x))
