"""Pairs whose codes are the same in the dimensions that hardly differ."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

__all__ = ["AdaptiveGaussian"]


class AdaptiveGaussian(nn.Module):
    """q(z_i | x_1, x_2), i = 1, 2: N(m_i, v_i) of each alone, put together in the dimensions that the pair shares.

        d_j = 1/2 KL(q_1j || q_2j) + 1/2 KL(q_2j || q_1j),   shared where d_j < (max_j d_j + min_j d_j) / 2
        average:  m = (m_1 + m_2) / 2,  v = (v_1 + v_2) / 2     (Ada-GVAE)
        product:  1/v = 1/v_1 + 1/v_2,  m = v (m_1/v_1 + m_2/v_2)     (Ada-ML-VAE)

    No gradient passes through the choice. The public code has for the product twice its variance, and the KL one way, twice.

    Site: ``z``, (2, d).

    Args:
        encoder: x_i to (..., 2 d), the means and the logarithms of the scales.
        combine: "average" or "product".

    References: Locatello et al., Weakly-Supervised Disentanglement Without Compromises, 2020, Eq. (5) to (7).
    """

    def __init__(self, encoder: nn.Module, combine: str = "average") -> None:
        super().__init__()
        self.encoder, self.combine = encoder, combine

    @staticmethod
    def shared(loc: Tensor, scale: Tensor) -> Tensor:
        """Which dimensions a pair shares, (..., 1, d), of means and scales (..., 2, d)."""
        (m, n), (s, t) = loc.detach().unbind(-2), scale.detach().unbind(-2)
        ratio = (s / t).square()
        apart = (m - n).square() * (s**-2 + t**-2)
        distance = (ratio + 1 / ratio - 2 + apart) / 4
        limit = (distance.amax(-1, keepdim=True) + distance.amin(-1, keepdim=True)) / 2
        return (distance < limit).unsqueeze(-2)

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B pairs, (B, 2, *shape)."""
        loc, log_scale = self.encoder(x).chunk(2, -1)
        scale = log_scale.exp()
        if self.combine == "average":
            mean, width = loc.mean(-2, keepdim=True), scale.square().mean(-2, keepdim=True).sqrt()
        else:
            precision = scale**-2
            width = precision.sum(-2, keepdim=True).rsqrt()
            mean = (precision * loc).sum(-2, keepdim=True) * width.square()
        same = self.shared(loc, scale)
        loc, scale = torch.where(same, mean, loc), torch.where(same, width, scale)
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Normal(loc, scale).to_event(2))
