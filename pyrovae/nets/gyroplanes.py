"""Features of points of the Poincare ball: their distances to hyperplanes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyrovae.distributions.hyperbolic import from_origin, mobius_add

__all__ = ["Gyroplanes"]


class Gyroplanes(nn.Module):
    """Signed distances to K hyperplanes of the ball, times the lengths of their normals: (..., d) to (..., K).

        f_k(z) = (2 |a_k| / (1 - |p_k|^2)) asinh(2 <y, a_k> / ((1 - |y|^2) |a_k|)),   y = -p_k (+) z

    Args:
        dim: d.
        out_features: K.

    References: Ganea, Becigneul and Hofmann, Hyperbolic Neural Networks, 2018, Eq. (25).

    >>> Gyroplanes(2, 5)(torch.zeros(3, 7, 2)).shape
    torch.Size([3, 7, 5])
    """

    def __init__(self, dim: int, out_features: int) -> None:
        super().__init__()
        self.offsets = nn.Parameter(0.1 * torch.randn(out_features, dim))  # of p_k, in the tangent space of the origin
        self.normals = nn.Parameter(torch.randn(out_features, dim) / dim**0.5)

    def forward(self, z: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        point = from_origin(self.offsets)
        y = mobius_add(-point, z.unsqueeze(-2))
        length = self.normals.square().sum(-1).clamp(min=1e-12).sqrt()
        along = 2 * (y * self.normals).sum(-1) / ((1 - y.square().sum(-1)).clamp(min=1e-6) * length)
        return 2 * length / (1 - point.square().sum(-1)) * along.asinh()
