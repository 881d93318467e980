"""The posterior of the Kalman variational autoencoder's codes, in steps."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.nets import loc_and_scale

__all__ = ["KalmanVAEGuide"]


class KalmanVAEGuide(nn.Module):
    """q(a | x) = prod_t N(a_t; mean(x_t), scale(x_t)^2); of a frame that is missing, the model's p(a_t | a_1:t-1).

    Site of a step: ``a``, (d,).

    Args:
        encoder: x_t to the mean and raw scale of a_t, (..., 2d).
        model: the model, whose prediction stands in for what no frame tells.

    References: Fraccaro, Kamronn, Paquet and Winther, A Disentangled Recognition and Nonlinear Dynamics Model for
    Unsupervised Learning, 2017.
    """

    def __init__(self, encoder: nn.Module, model: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self._beside = (model,)  # in a tuple, so that its parameters are not the guide's

    def init(self, x: Tensor) -> dict[str, Tensor]:
        """No state of its own."""
        return {}

    def step(self, state: dict[str, Tensor], x: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """One step of the guide, q, on x_t, of which ``mask`` tells what was seen."""
        loc, scale = loc_and_scale(self.encoder(x))
        if mask is None:
            pyro.sample("a", dist.Normal(loc, scale).to_event(1))
            return {}
        (model,) = self._beside
        ahead, spread = model.code(*model.predict(state))
        here = mask.flatten(1).any(1).unsqueeze(-1)
        loc = torch.where(here, loc, ahead)
        lower = torch.where(here.unsqueeze(-1), torch.diag_embed(scale), torch.linalg.cholesky(spread))
        pyro.sample("a", dist.MultivariateNormal(loc, scale_tril=lower))
        return {}
