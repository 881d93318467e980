"""The posterior of the variational recurrent autoencoder."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.nets import Recurrent

__all__ = ["VRAEGuide"]


class VRAEGuide(nn.Module):
    """q(z | x) = N(W_m h_T, exp(W_s h_T)^2), h_T the state of a recurrent network at each datum's own last step.

    Site: ``z``, (d,).

    Args:
        recurrent: over x, (B, T, D) to (B, T, H).
        out: h_T to the mean and logarithm of the scale of z, (..., 2d).

    References: Fabius and van Amersfoort, Variational Recurrent Auto-Encoders, 2014.
    """

    def __init__(self, recurrent: Recurrent, out: nn.Module) -> None:
        super().__init__()
        self.recurrent, self.out = recurrent, out

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> None:
        """Run the guide, q, on a batch of B data."""
        states = self.recurrent(x)
        ends = torch.full((len(x),), x.shape[1] - 1, device=x.device) if lengths is None else lengths.long() - 1
        last = states.gather(1, ends.clamp(min=0).reshape(-1, 1, 1).expand(-1, 1, states.shape[-1])).squeeze(1)
        loc, log_scale = self.out(last).chunk(2, -1)
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
