"""The variational recurrent neural network's generative model, in steps."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import LSTMCell, float_zeros, loc_and_scale

__all__ = ["VRNN"]


class VRNN(nn.Module):
    """p(x, z) = prod_t p(z_t | h_t-1) p(x_t | z_t, h_t-1), h_t = LSTM(h_t-1; x_t, z_t), h_0 = 0.

    Sites of a step: ``z``, (d,); ``x``, the shape of a step's data.

    Args:
        features_x: x_t to phi_x, (..., F).
        features_z: z_t to phi_z, (..., F).
        cell: h, c, phi_x and phi_z to the next h and c.
        prior: h to the mean and raw scale of z_t, (..., 2d).
        decoder: phi_z and h to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x_t.
        hidden: size of h.

    References: Chung et al., A Recurrent Latent Variable Model for Sequential Data, 2015, Eq. (5) to (8).
    """

    def __init__(
        self,
        features_x: nn.Module,
        features_z: nn.Module,
        cell: LSTMCell,
        prior: nn.Module,
        decoder: nn.Module,
        likelihood: nn.Module,
        hidden: int,
    ) -> None:
        super().__init__()
        self.features_x, self.features_z, self.cell = features_x, features_z, cell
        self.prior, self.decoder, self.likelihood, self.hidden = prior, decoder, likelihood, hidden

    def init(self, x: Tensor) -> dict[str, Tensor]:
        """h_0 and c_0, (B, hidden)."""
        zeros = float_zeros(x, len(x), self.hidden)
        return {"h": zeros, "c": zeros}

    def step(self, state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """One step of the model, p, on x_t."""
        z = pyro.sample("z", dist.Normal(*loc_and_scale(self.prior(state["h"]))).to_event(1))  # Eq. (5)
        phi = self.features_z(z)
        x = pyro.sample("x", self.likelihood(self.decoder(phi, state["h"])), obs=x)  # Eq. (6)
        h, c = self.cell(state["h"], state["c"], self.features_x(x), phi)  # Eq. (7)
        return {"h": h, "c": c}
