"""Layers of autoencoders: encoder and decoder of one weight matrix, and decoders whose columns have length one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from pyrovae.errors import OptionError
from pyrovae.nets.counts import as_float

__all__ = ["Dictionary", "TiedDecoder", "TiedEncoder"]


class TiedEncoder(nn.Module):
    """z = W x + b, or sigmoid(W x + b): one layer, (..., *shape) to (..., d), whose W a :class:`TiedDecoder` transposes.

    Args:
        shape: of x.
        latent_dim: d.
        sigmoid: whether the code is squashed to (0, 1).
        center: the x, (*shape), whose linear code is 0 before training; by default 0.

    >>> TiedEncoder((2, 2), 3)(torch.zeros(5, 2, 2)).shape
    torch.Size([5, 3])
    """

    def __init__(self, shape: Sequence[int], latent_dim: int, sigmoid: bool = False, center: Tensor | None = None) -> None:
        super().__init__()
        self.shape, self.sigmoid = tuple(shape), sigmoid
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(latent_dim, math.prod(shape))))
        self.bias = nn.Parameter(torch.zeros(latent_dim))
        if center is not None:
            self.bias.data -= self.weight.data @ center.flatten()

    def forward(self, x: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        z = linear(as_float(x).flatten(-len(self.shape)), self.weight, self.bias)
        return z.sigmoid() if self.sigmoid else z

    def squared_jacobian(self, x: Tensor) -> Tensor:
        """||df/dx||_F^2 = sum_j (h_j (1 - h_j))^2 ||W_j||^2 of a sigmoid code h, ||W||_F^2 of a linear one, (...,).

        References: Rifai et al., Contractive Auto-Encoders, 2011, Section 3.
        """
        h = self(x)
        slope = h * (1 - h) if self.sigmoid else torch.ones_like(h)
        return (slope.square() * self.weight.square().sum(1)).sum(-1)


class TiedDecoder(nn.Module):
    """h = W' z + c, (..., d) to (..., 1, *shape), with the W of an encoder.

    >>> TiedDecoder(TiedEncoder((2, 2), 3))(torch.zeros(5, 7, 3)).shape
    torch.Size([5, 7, 1, 2, 2])
    """

    def __init__(self, encoder: TiedEncoder, num_params: int = 1) -> None:
        super().__init__()
        if num_params != 1:
            raise OptionError(
                f"tied weights give one number for each value of x, this likelihood takes {num_params}; use scale='shared'."
            )
        self.encoder = encoder
        self.bias = nn.Parameter(torch.zeros(encoder.weight.shape[1]))

    @torch.no_grad()
    def start_at(self, h: Tensor) -> None:
        """Give h, (1, *shape), where z is 0."""
        self.bias.copy_(h.flatten())

    def forward(self, z: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        return linear(z, self.encoder.weight.T, self.bias).unflatten(-1, (1, *self.encoder.shape))


class Dictionary(nn.Module):
    """h = sum_j z_j a_j + c, atoms a_j of length 1: (..., d) to (..., P, *shape).

    Without the constraint a penalty of the code costs nothing: z / 2 and atoms twice as long decode to the same.

    References: Olshausen and Field, Emergence of Simple-Cell Receptive Field Properties by Learning a Sparse Code for Natural
    Images, 1996.

    >>> Dictionary(3, (2, 2)).atoms.detach().norm(dim=0).round(decimals=4)
    tensor([1., 1., 1.])
    """

    def __init__(self, latent_dim: int, shape: Sequence[int], num_params: int = 1) -> None:
        super().__init__()
        self.shape = (num_params, *shape)
        self.weight = nn.Parameter(torch.randn(math.prod(self.shape), latent_dim))
        self.bias = nn.Parameter(torch.zeros(math.prod(self.shape)))

    @property
    def atoms(self) -> Tensor:
        """The a_j as columns, (P D, d)."""
        return self.weight / self.weight.square().sum(0).sqrt()

    @torch.no_grad()
    def start_at(self, h: Tensor) -> None:
        """Give h, (P, *shape), where z is 0."""
        self.bias.copy_(h.flatten())

    def forward(self, z: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        return linear(z, self.atoms, self.bias).unflatten(-1, self.shape)
