"""What pairs with a class share."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from pyrovae import guides
from pyrovae.distributions.likelihoods import Likelihood
from pyrovae.nets import HeadDecoder
from pyrovae.parts.networks import Activation, Dense

__all__ = ["SEMISUPERVISED", "AuxiliaryDense", "class_decoder"]

SEMISUPERVISED = {"name": "semisupervised", "base": "meanfield"}  # the objective


def class_decoder(dense: Dense, latent_dim: int, num_classes: int, heads: bool) -> tuple[nn.Module, Likelihood]:
    """From z and a class to x, with its likelihood: side by side, or by ``heads`` in z's own space."""
    if not heads:
        return dense.decoder([latent_dim, num_classes])
    decoder, likelihood = dense.decoder(latent_dim)
    return HeadDecoder(decoder, num_classes, latent_dim), likelihood


@dataclass(frozen=True, kw_only=True)
class AuxiliaryDense(Dense):
    """Dense networks of pairs with an auxiliary variable a.

    Attributes:
        auxiliary_dim: e, the dimension of a.
        hidden: sizes of the hidden layers of each network, reversed for the decoder.
    """

    auxiliary_dim: int = 100
    hidden: list[int] | tuple[int, ...] = (500, 500)
    activation: Activation = "relu"

    def guide(self, latent_dim: int) -> guides.AuxiliaryClassGaussian:
        """q(a | x) q(y | x, a) q(z | x, a, y)."""
        a, classes = self.auxiliary_dim, self.spec.classes
        return guides.AuxiliaryClassGaussian(
            self.encoder(2 * a), self.encoder(classes, others=[a]), self.encoder(2 * latent_dim, others=[a, classes])
        )
