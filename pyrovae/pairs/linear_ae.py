"""Linear autoencoders: principal components, and their logistic kin."""

from __future__ import annotations

from pyrovae import models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import likelihoods
from pyrovae.guides import Deterministic
from pyrovae.nets.codes import TiedDecoder, TiedEncoder
from pyrovae.nets.mlp import MLPEncoder
from pyrovae.pairs.ae import cross_entropy, decoder_of
from pyrovae.pairs.catalogue import recipe

__all__ = ["linear_ae", "logistic_pca"]


@recipe("linear-ae", "Baldi and Hornik, Neural Networks and Principal Component Analysis", 1989)
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
    decoder, law = TiedDecoder(encoder), likelihoods.Gaussian(spec.shape, 1.0)
    if spec.mean is not None:
        decoder.start_at(spec.mean.unsqueeze(0))
    return Pair(models.Autoencoder(decoder, law, latent_dim), Deterministic(encoder), "energy")


@recipe("logistic-pca", "Collins, Dasgupta and Schapire, A Generalization of Principal Component Analysis", 2001)
def logistic_pca(spec: DataSpec, *, latent_dim: int = 30) -> Pair:
    """z = A x + a, p = sigmoid(W z + c): principal components of the natural parameters of Bernoulli pixels.

        energy(x) = sum_i log(1 + exp(t_i)) - x_i t_i,    t = W z + c

    PCA is this with a Gaussian in place of the Bernoulli, whose natural parameters are the means. The paper looks for the best
    z of each datum; here a linear encoder finds it, as in the autoencoder that Hinton and Salakhutdinov (2006) compare with.

    Args:
        spec: description of data in [0, 1], ``data.spec``: bernoulli for binary ones, bernoulli-grey for grey levels.

    References: Collins, Dasgupta and Schapire, A Generalization of Principal Component Analysis to the Exponential Family,
    2001; Schein, Saul and Ungar, A Generalized Linear Model for Principal Component Analysis of Binary Data, 2003.
    """
    decoder, law = decoder_of(spec, latent_dim, (), "tanh", cross_entropy(spec) or "bernoulli", "shared")
    encoder = MLPEncoder(spec.shape, (), latent_dim)
    return Pair(models.Autoencoder(decoder, law, latent_dim), Deterministic(encoder), "energy")
