"""The posterior of the variational recurrent neural network, in steps."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import loc_and_scale

__all__ = ["VRNNGuide"]


class VRNNGuide(nn.Module):
    """q(z | x) = prod_t q(z_t | phi_x(x_t), h_t-1), h the model's.

    Site of a step: ``z``, (d,).

    Args:
        features_x: x_t to phi_x, the model's network.
        encoder: phi_x and h to the mean and raw scale of z_t, (..., 2d).

    References: Chung et al., A Recurrent Latent Variable Model for Sequential Data, 2015, Eq. (9).
    """

    def __init__(self, features_x: nn.Module, encoder: nn.Module) -> None:
        super().__init__()
        self.features_x, self.encoder = features_x, encoder

    def init(self, x: Tensor) -> dict[str, Tensor]:
        """No state of its own."""
        return {}

    def step(self, state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """One step of the guide, q, on x_t."""
        pyro.sample("z", dist.Normal(*loc_and_scale(self.encoder(self.features_x(x), state["h"]))).to_event(1))
        return {}
