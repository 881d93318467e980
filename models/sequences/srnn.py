"""The stochastic recurrent neural network, in steps: a state-space layer over a recurrent one."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.nets import GatedTransition, Recurrent, as_float, float_zeros

__all__ = ["SRNN"]


class SRNN(nn.Module):
    """p(x, z) = prod_t p(z_t | z_t-1, d_t) p(x_t | z_t, d_t), d_t = GRU(d_t-1, x_t-1), x_0 = 0 and d_0 = 0.

    With the recurrent network's weights at zero d_t is zero, and the model is the :class:`~pyrovae.models.DMM`.

    Sites of a step: ``z``, (d,); ``x``, the shape of a step's data.

    Args:
        recurrent: a GRU over x.
        transition: z_t-1 and d_t to the mean and scale of z_t, (..., d).
        decoder: z_t and d_t to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x_t.
        latent_dim: d.

    References: Fraccaro, Sonderby, Paquet and Winther, Sequential Neural Models with Stochastic Layers, 2016, with
    u_t = x_t-1, and the gated transition of the deep Markov model.
    """

    def __init__(
        self,
        recurrent: Recurrent,
        transition: GatedTransition,
        decoder: nn.Module,
        likelihood: nn.Module,
        latent_dim: int,
    ) -> None:
        super().__init__()
        self.recurrent, self.transition = recurrent, transition
        self.decoder, self.likelihood = decoder, likelihood
        self.z_0 = nn.Parameter(torch.zeros(latent_dim))

    def init(self, x: Tensor) -> dict[str, Tensor]:
        """z_0 and d_1, (B, d) and (B, H)."""
        nothing = float_zeros(x, len(x), x[0, 0].numel())
        d = self.recurrent.step(float_zeros(x, len(x), self.recurrent.hidden), nothing)
        return {"z": self.z_0.expand(len(x), -1), "d": d}

    def step(self, state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """One step of the model, p, on x_t."""
        event = x.dim() - 1
        z = pyro.sample("z", dist.Normal(*self.transition(state["z"], state["d"])).to_event(1))
        x = pyro.sample("x", self.likelihood(self.decoder(z, state["d"])), obs=x)
        return {"z": z, "d": self.recurrent.step(state["d"], as_float(x).flatten(-event))}
