"""Deterministic autoencoders on vectors and images, and their Gaussian relaxation."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import likelihoods
from pyrovae.errors import OptionError
from pyrovae.nets.mlp import MLPDecoder, MLPEncoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.vae import Activation, LikelihoodName, Scale, start_decoder

__all__ = ["ae", "autoencoder", "cross_entropy", "decoder_of", "deep_ae", "point_or_gaussian"]


def decoder_of(
    spec: DataSpec, latent_dim: int, hidden: Sequence[int], activation: str, likelihood: str | None, scale: Scale
) -> tuple[MLPDecoder, likelihoods.Likelihood]:
    """A dense decoder that starts at the mean of the data, and its likelihood."""
    law = likelihoods.build(likelihood, spec.shape, spec.kind, spec.levels, scale)
    decoder = MLPDecoder(latent_dim, list(reversed(hidden)), spec.shape, law.num_params, activation)
    start_decoder(decoder, law, spec)
    return decoder, law


def point_or_gaussian(encoder: nn.Module, relax: float) -> nn.Module:
    """The guide around an encoder: a point, or with ``relax`` above 0 a Gaussian of that scale."""
    if isinstance(relax, bool) or not relax >= 0:
        raise OptionError(f"relax is {relax!r}; expected the scale of a Gaussian around the code, or 0 for a point.")
    return guides.IsotropicGaussian(encoder, float(relax)) if relax else guides.Deterministic(encoder)


def autoencoder(model: models.Autoencoder, encoder: nn.Module, relax: float) -> Pair:
    """The pair of a decoder's model without a prior and an encoder; relaxed, of a VAE and a Gaussian around the encoder."""
    guide = point_or_gaussian(encoder, relax)
    if relax:
        return Pair(models.VAE(model.decoder, model.likelihood, model.latent_dim), guide, "meanfield")
    return Pair(model, guide, "energy")


def cross_entropy(spec: DataSpec) -> str | None:
    """The likelihood whose energy is the cross-entropy of pixels; None, the usual one, where x may leave [0, 1]."""
    return {"binary": "bernoulli", "levels": "bernoulli-grey", "unit": "bernoulli-grey"}.get(spec.kind)


@recipe("ae", "Rumelhart, Hinton and Williams, Learning Internal Representations by Error Propagation", 1986)
def ae(
    spec: DataSpec,
    *,
    latent_dim: int = 50,
    hidden: list[int] | tuple[int, ...] = (200, 200),
    activation: Activation = "tanh",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
    relax: float = 0.0,
) -> Pair:
    """A deterministic autoencoder: z = f(x), log p(x | f(x)) the energy; no prior, no log p(x) unless relaxed.

    It is the VAE in the limit of a guide without noise. The ELBO E_q[log p(x | z)] - KL(q || p) with q = N(f(x), relax^2 I)
    and p = N(0, I) is

        E[log p(x | f(x) + relax e)] - ||f(x)||^2 / 2 + d log relax + d (1 - relax^2) / 2,    e ~ N(0, I)

    As relax goes to 0 the first term becomes the autoencoder's reconstruction, and d log relax goes to minus infinity: a point
    has no density, so that nothing bounds log p(x). The autoencoder drops what is left of the KL, too, and with it all that
    ties its codes to a law one could draw from. With ``relax`` above 0 the pair is the one of the formula, with a log p(x).

    Args:
        likelihood: law of x given z; by default bernoulli for binary data, gaussian (a squared error) for grey levels and
            real data, continuous-bernoulli for other data in [0, 1].
        relax: scale of a Gaussian around the code, which makes of the pair a density; 0 for a point.

    References: Rumelhart, Hinton and Williams, Learning Internal Representations by Error Propagation, 1986; Ghosh et al.,
    From Variational to Deterministic Autoencoders, 2020 (the relaxation).
    """
    decoder, law = decoder_of(spec, latent_dim, hidden, activation, likelihood, scale)
    encoder = MLPEncoder(spec.shape, hidden, latent_dim, activation)
    return autoencoder(models.Autoencoder(decoder, law, latent_dim), encoder, relax)


@recipe("deep-ae", "Hinton and Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks", 2006)
def deep_ae(
    spec: DataSpec,
    *,
    latent_dim: int = 30,
    hidden: list[int] | tuple[int, ...] = (1000, 500, 250),
    activation: Activation = "relu",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
    relax: float = 0.0,
) -> Pair:
    """The deep autoencoder 784-1000-500-250-30 with a linear code: z = f(x), -log p(x | f(x)) the cross-entropy of the pixels.

        energy(x) = -sum_i x_i log p_i + (1 - x_i) log(1 - p_i),    p = sigmoid(g(f(x)))

    The paper's hidden units are logistic (``activation="sigmoid"``), and start from restricted Boltzmann machines, without
    which its gradients vanish; rectified units need no such start.

    Args:
        likelihood: law of x given z; by default the paper's cross-entropy, which of binary data is bernoulli, and of data in
            [0, 1] bernoulli-grey, an energy; gaussian of real data. Relaxed, and then by default, one that is a density.
        relax: scale of a Gaussian around the code, which makes of the pair a density (``ae``); 0 for a point.

    References: Hinton and Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, 2006.
    """
    likelihood = likelihood or (None if relax else cross_entropy(spec))
    decoder, law = decoder_of(spec, latent_dim, hidden, activation, likelihood, scale)
    encoder = MLPEncoder(spec.shape, hidden, latent_dim, activation)
    return autoencoder(models.Autoencoder(decoder, law, latent_dim), encoder, relax)
