"""The smoothing posterior of the stochastic recurrent neural network, in steps."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.nets import GatedTransition, Recurrent, as_float, loc_and_scale

__all__ = ["SRNNGuide"]


class SRNNGuide(nn.Module):
    """q(z | x) = prod_t q(z_t | z_t-1, a_t), a_t of a recurrent network backwards over (x_t, d_t), d the model's.

        c_t = (tanh(W z_t-1 + b) + a_t) / 2;   z_t ~ N(mean(c_t), scale(c_t)^2), or N(prior's mean + mean(c_t), scale(c_t)^2)

    Site of a step: ``z``, (d,).

    Args:
        forwards: the model's GRU over x.
        backwards: over (x, d), (B, T, D + H) to (B, T, A).
        combine: z_t-1 to (..., A).
        out: c_t to the mean and raw scale of z_t, (..., 2d).
        transition: the model's, to whose mean the guide's is added; None for a guide without.

    References: Fraccaro, Sonderby, Paquet and Winther, Sequential Neural Models with Stochastic Layers, 2016.
    """

    def __init__(
        self,
        forwards: Recurrent,
        backwards: Recurrent,
        combine: nn.Module,
        out: nn.Module,
        transition: GatedTransition | None = None,
    ) -> None:
        super().__init__()
        self.forwards, self.backwards, self.combine, self.out = forwards, backwards, combine, out
        self.transition = transition

    def init(self, x: Tensor, lengths: Tensor | None = None) -> dict[str, dict[str, Tensor]]:
        """a_t of every step, (B, T, A)."""
        steps = as_float(x).flatten(2)
        d = self.forwards(torch.cat([torch.zeros_like(steps[:, :1]), steps[:, :-1]], 1))
        return {"each": {"rest": self.backwards(torch.cat([steps, d], -1), lengths)}}

    def step(self, state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """One step of the guide, q, whose x_t, ..., x_T are in the recurrent network's state."""
        loc, scale = loc_and_scale(self.out((self.combine(state["z"]).tanh() + state["rest"]) / 2))
        if self.transition is not None:
            loc = loc + self.transition(state["z"], state["d"])[0]
        pyro.sample("z", dist.Normal(loc, scale).to_event(1))
        return {}
