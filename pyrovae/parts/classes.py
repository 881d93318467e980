"""What pairs with a class share."""

from __future__ import annotations

from pyrovae import guides
from pyrovae.parts.networks import Dense

__all__ = ["SEMISUPERVISED", "auxiliary_class_guide"]

SEMISUPERVISED = {"name": "semisupervised", "base": "meanfield"}  # the objective


def auxiliary_class_guide(
    dense: Dense, latent_dim: int, auxiliary_dim: int, num_classes: int
) -> guides.AuxiliaryClassGaussian:
    """q(a | x) q(y | x, a) q(z | x, a, y)."""
    return guides.AuxiliaryClassGaussian(
        dense.encoder(2 * auxiliary_dim),
        dense.encoder(num_classes, others=[auxiliary_dim]),
        dense.encoder(2 * latent_dim, others=[auxiliary_dim, num_classes]),
    )
