"""What pairs given a condition share."""

from __future__ import annotations

from pyrovae import models
from pyrovae.parts.networks import Dense

__all__ = ["conditional_model"]


def conditional_model(dense: Dense, latent_dim: int) -> models.CVAE:
    """p(z | c) p(x | z, c), where c and which of x it gives are in the batch."""
    condition = [dense.spec.covariates["c"], dense.spec.covariates["given"]]
    prior = dense.joint(condition, 2 * latent_dim)
    return models.CVAE(prior, *dense.decoder([*condition, latent_dim]))
