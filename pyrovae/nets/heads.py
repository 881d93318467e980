"""A decoder that sees a class as a place: where z starts from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["HeadDecoder"]


class HeadDecoder(nn.Module):
    """z, (..., d), and a class, (..., C), one-hot or a point of the simplex, to decoder(z + W' class), W (C, d) the heads.

    Args:
        decoder: of (..., d).
        num_classes: C.
        latent_dim: d.

    Attributes:
        heads: W.

    References: Makhzani et al., Adversarial Autoencoders, 2016, Section 7.

    >>> HeadDecoder(nn.Linear(2, 5), 3, 2)(torch.zeros(4, 7, 2), torch.zeros(7, 3)).shape
    torch.Size([4, 7, 5])
    """

    def __init__(self, decoder: nn.Module, num_classes: int, latent_dim: int) -> None:
        super().__init__()
        self.decoder, self.heads = decoder, nn.Parameter(torch.randn(num_classes, latent_dim))

    def place(self, z: Tensor, one_hot: Tensor) -> Tensor:
        """z + W' class, (..., d): the point of the map."""
        return z + one_hot @ self.heads

    def forward(self, z: Tensor, one_hot: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        out: Tensor = self.decoder(self.place(z, one_hot))
        return out
