"""Deterministic autoencoders on vectors and images, and their Gaussian relaxation."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from pyrovae import guides, likelihoods, models
from pyrovae.data import DataSpec
from pyrovae.errors import OptionError
from pyrovae.nets import MLPDecoder, MLPEncoder
from pyrovae.pair import Pair
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.vae import Activation, LikelihoodName, Scale, start_decoder

__all__ = ["ae", "decoder_of", "point_or_gaussian"]


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
        spec: description of the data, ``data.spec``.
        latent_dim: d, the dimension of z.
        hidden: sizes of the hidden layers of the encoder, and reversed of the decoder.
        activation: of the hidden layers.
        likelihood: law of x given z; by default bernoulli for binary data, gaussian (a squared error) for grey levels and
            real data, continuous-bernoulli for other data in [0, 1].
        scale: of a gaussian (a number, 'shared' or 'predicted') or discretized-logistic likelihood.
        relax: scale of a Gaussian around the code, which makes of the pair a density; 0 for a point.

    References: Rumelhart, Hinton and Williams, Learning Internal Representations by Error Propagation, 1986; Ghosh et al.,
    From Variational to Deterministic Autoencoders, 2020 (the relaxation).
    """
    decoder, law = decoder_of(spec, latent_dim, hidden, activation, likelihood, scale)
    guide = point_or_gaussian(MLPEncoder(spec.shape, hidden, latent_dim, activation), relax)
    if relax:
        return Pair(models.VAE(decoder, law, latent_dim), guide, "meanfield")
    return Pair(models.Autoencoder(decoder, law, latent_dim), guide, "energy")
