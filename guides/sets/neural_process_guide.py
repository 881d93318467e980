"""The neural process's guide: its latent from all points, by the network that makes the prior of some."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import SetEncoder, items_there, loc_and_scale

__all__ = ["NeuralProcessGuide"]


class NeuralProcessGuide(nn.Module):
    """q(z | u, x) = N(z; r(u_1..n, x_1..n)), r the encoder of the model's prior, on context and targets together.

    Site: ``z``, (d,).

    Args:
        encoder: the model's own: inputs, values and which of them count to (..., 2d).

    References: Garnelo et al., Neural Processes, 2018, Eq. (7).
    """

    def __init__(self, encoder: SetEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, condition: Tensor, lengths: Tensor | None = None) -> None:
        """Run the guide, q, on a batch of B functions, x (B, n, *shape), condition (B, n, d_u)."""
        loc, scale = loc_and_scale(self.encoder(condition, x, weights=items_there(x, lengths)))
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))
