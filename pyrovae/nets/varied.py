"""Which codes vary in a group."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["codes_that_vary"]


def codes_that_vary(varied: Tensor, latent_dim: int) -> Tensor:
    """Which codes a group varies in, (B, 1, d) of bool: the first F one factor each, the others those without a name.

    Args:
        varied: (B, F + 1), 1 at the factor that varies, or last for all others.
        latent_dim: d, at least F.

    >>> codes_that_vary(torch.eye(3), 4).squeeze(1).int().tolist()
    [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1]]
    """
    named = varied.shape[-1] - 1
    rest = varied[..., named:].expand(*varied.shape[:-1], latent_dim - named)
    return torch.cat([varied[..., :named], rest], -1).bool().unsqueeze(-2)
