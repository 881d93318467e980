"""The denoising variational autoencoder."""

from __future__ import annotations

from pyrovae import guides
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import CORRUPTION
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense, Posterior

__all__ = ["dvae"]


@recipe(
    "Im et al.",
    "Denoising Criterion for Variational Auto-Encoding Framework",
    2017,
    objective="meanfield",
    needs=[CORRUPTION],
    tiny=[tiny("masking", latent_dim=3, hidden=[20])],
)
def dvae(spec: DataSpec, *, latent_dim: int = 50, dense: Dense = Dense(), posterior: Posterior = Posterior()) -> Pair:
    """The denoising VAE: z ~ q(z | c), c ~ p(c | x), over corruptions a mixture; E_p(c|x)[ELBO(q(. | c))] <= log p(x).

        L = E_p(c|x) E_q(z|c)[log p(x, z) - log q(z | c)]

    For each c this is the ELBO of a guide of z, so that L is a lower bound whatever the corruption. It lies below the ELBO of
    the mixture q~(z | x) = E_p(c|x)[q(z | c)], whose density nobody has, by the mutual information I(z; c | x): what noise
    teaches the encoder, the bound pays for. log p(x) is estimated with the x_corrupted of the data at hand, given which
    q(z | c) is a proposal like any other; with the transform's ``parts="train"`` that is the clean x of valid and test data.

    Args:
        spec: description of data with corrupted inputs (transform ``corrupt``), ``data.spec``.
        posterior: family of q(z | c).

    References: Im et al., Denoising Criterion for Variational Auto-Encoding Framework, 2017.
    """
    guide = guides.Denoising(posterior.guide(dense, latent_dim))
    return posterior.model(dense, latent_dim), guide
