"""Variational autoencoders on vectors and images."""

from __future__ import annotations

from typing import Literal, Protocol

from torch import Tensor, nn

from pyrovae import guides
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import likelihoods
from pyrovae.errors import nearest
from pyrovae.models import VAE
from pyrovae.nets.convolutional import ConvDecoder, ConvEncoder
from pyrovae.nets.mlp import MLPDecoder, MLPEncoder
from pyrovae.pairs.catalogue import recipe

__all__ = ["conv_vae", "start_decoder", "vae"]

Activation = Literal["tanh", "sigmoid", "relu", "elu", "softplus", "silu", "gelu", "gated"]
Posterior = Literal["diagonal", "full-rank", "mixture"]
LikelihoodName = Literal[
    "bernoulli", "bernoulli-grey", "continuous-bernoulli", "gaussian", "discretized-logistic", "categorical"
]
Scale = float | Literal["shared", "predicted"]


class Starting(Protocol):
    """A decoder that can be told where to start."""

    def start_at(self, h: Tensor) -> None: ...


def _num_features(posterior: str, latent_dim: int, num_components: int) -> int:
    families = {
        "diagonal": 2 * latent_dim,
        "full-rank": guides.FullRankGaussian.num_features(latent_dim),
        "mixture": guides.GaussianMixture.num_features(latent_dim, num_components),
    }
    if posterior not in families:
        raise nearest("posterior", posterior, families)
    return families[posterior]


def _guide(encoder: nn.Module, latent_dim: int, posterior: str, num_components: int) -> nn.Module:
    if posterior == "mixture":
        return guides.GaussianMixture(encoder, num_components)
    return guides.DiagonalGaussian(encoder) if posterior == "diagonal" else guides.FullRankGaussian(encoder, latent_dim)


def start_decoder(decoder: Starting, likelihood: likelihoods.Likelihood, spec: DataSpec) -> None:
    """Let the decoder start at the mean of the training data, where the likelihood can tell how."""
    start = None if spec.mean is None else likelihood.start(spec.mean)
    if start is not None:
        decoder.start_at(start)


def _pair(
    spec: DataSpec,
    decoder: MLPDecoder | ConvDecoder,
    likelihood: likelihoods.Likelihood,
    encoder: nn.Module,
    latent_dim: int,
    posterior: str,
    num_components: int,
) -> Pair:
    start_decoder(decoder, likelihood, spec)
    return Pair(VAE(decoder, likelihood, latent_dim), _guide(encoder, latent_dim, posterior, num_components))


@recipe("vae", "Kingma and Welling, Auto-Encoding Variational Bayes", 2014)
def vae(
    spec: DataSpec,
    *,
    latent_dim: int = 50,
    hidden: list[int] | tuple[int, ...] = (200, 200),
    activation: Activation = "tanh",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
    posterior: Posterior = "diagonal",
    num_components: int = 5,
) -> Pair:
    """A VAE with dense networks, on data of any shape.

    Args:
        posterior: family of q(z | x).
        num_components: of a mixture.

    References: Kingma and Welling, Auto-Encoding Variational Bayes, 2014, Appendix C.
    """
    law = likelihoods.build(likelihood, spec.shape, spec.kind, spec.levels, scale)
    encoder = MLPEncoder(spec.shape, hidden, _num_features(posterior, latent_dim, num_components), activation)
    decoder = MLPDecoder(latent_dim, list(reversed(hidden)), spec.shape, law.num_params, activation)
    return _pair(spec, decoder, law, encoder, latent_dim, posterior, num_components)


@recipe("conv-vae", "Kingma and Welling, Auto-Encoding Variational Bayes", 2014)
def conv_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 50,
    channels: list[int] | tuple[int, ...] = (32, 64),
    hidden: int = 256,
    activation: Activation = "relu",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
    posterior: Posterior = "diagonal",
    num_components: int = 5,
) -> Pair:
    """A VAE with convolutional networks, on images (H, W) or (C, H, W) of any size.

    Args:
        channels: of the 3x3 convolutions of stride 2 of the encoder, and reversed of the decoder.
        hidden: size of the dense layer between the convolutions and z.
        posterior: family of q(z | x).
        num_components: of a mixture.

    References: Kingma and Welling, Auto-Encoding Variational Bayes, 2014.
    """
    law = likelihoods.build(likelihood, spec.shape, spec.kind, spec.levels, scale)
    encoder = ConvEncoder(spec.shape, channels, hidden, _num_features(posterior, latent_dim, num_components), activation)
    decoder = ConvDecoder(latent_dim, channels, hidden, spec.shape, law.num_params, activation)
    return _pair(spec, decoder, law, encoder, latent_dim, posterior, num_components)
