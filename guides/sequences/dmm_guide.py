"""The structured posterior of the deep Markov model, in steps."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.distributions import Flow, FlowDistribution
from pyrovae.nets import Recurrent, loc_and_scale

__all__ = ["DMMGuide"]


class DMMGuide(nn.Module):
    """q(z | x) = prod_t q(z_t | z_t-1, x_t, ..., x_T), as the true posterior's factors: DKS, "deep Kalman smoother".

        h_t of a recurrent network over x_T, ..., x_t;  c_t = (tanh(W z_t-1 + b) + h_t) / 2;  z_t ~ N(mean(c_t), scale(c_t)^2)

    With a flow, the Gaussian is bent by transforms that all steps share. The network runs once per datum, whatever the number
    of particles, from each datum's own last step. z_0 is the model's. (Pyro's example has a second one for the guide, and
    evaluates by one draw of the ELBO, which it calls the negative log likelihood.)

    Site of a step: ``z``, (d,).

    Args:
        recurrent: backwards over x, (B, T, *shape) to (B, T, H).
        combine: z_t-1 to (..., H).
        out: c_t to the mean and raw scale of z_t, (..., 2d).
        flow: T_1, ..., T_n without features of a datum, or None.

    References: Krishnan, Shalit and Sontag, Structured Inference Networks for Nonlinear State Space Models, 2017; Kingma et
    al., Improved Variational Inference with Inverse Autoregressive Flow, 2016.
    """

    def __init__(self, recurrent: Recurrent, combine: nn.Module, out: nn.Module, flow: Flow | None = None) -> None:
        super().__init__()
        self.recurrent, self.combine, self.out, self.flow = recurrent, combine, out, flow

    def init(self, x: Tensor, lengths: Tensor | None = None) -> dict[str, dict[str, Tensor]]:
        """h_t of every step, (B, T, H)."""
        return {"each": {"rest": self.recurrent(x, lengths)}}

    def step(self, state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """One step of the guide, q, whose x_t, ..., x_T are in the recurrent network's state."""
        combined = (self.combine(state["z"]).tanh() + state["rest"]) / 2
        base = dist.Normal(*loc_and_scale(self.out(combined))).to_event(1)
        features = state["rest"][..., :0]
        pyro.sample("z", base if self.flow is None else FlowDistribution(base, self.flow.transforms(features)))
        return {}
