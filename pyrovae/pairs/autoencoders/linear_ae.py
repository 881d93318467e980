"""The linear autoencoder: principal components."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions.likelihoods import Gaussian
from pyrovae.nets import TiedDecoder, TiedEncoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny

__all__ = ["linear_ae"]


@recipe(
    "Baldi and Hornik",
    "Neural Networks and Principal Component Analysis",
    1989,
    objective="energy",
    density=False,
    tiny=[tiny("grey", latent_dim=3)],
)
def linear_ae(spec: DataSpec, *, latent_dim: int = 30) -> Pair:
    """z = W x + b, x' = W' z + c with one W: the squared error is least where W's rows span the first d principal components.

        energy(x) = ||x - W' z - c||^2 / 2 + const

    For centred x and any W, E||x - W'W x||^2 is at least the sum of all but the d largest eigenvalues of the covariance, with
    equality where W'W is the projection on their eigenvectors: the rows of W are then orthonormal, and principal components up
    to a rotation, which the error cannot see. Every other stationary point is a saddle (Baldi and Hornik, Fact 4). The pair
    with a density and the same subspace is ``linear-gaussian``.

    References: Baldi and Hornik, Neural Networks and Principal Component Analysis: Learning from Examples without Local
    Minima, 1989.
    """
    encoder = TiedEncoder(spec.shape, latent_dim, center=spec.mean)
    decoder = TiedDecoder(encoder)
    if spec.mean is not None:
        decoder.start_at(spec.mean.unsqueeze(0))
    return models.AE(decoder, Gaussian(spec.shape, 1.0), latent_dim), guides.Deterministic(encoder)
