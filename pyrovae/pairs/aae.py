"""The adversarial autoencoder with a Gaussian prior."""

from __future__ import annotations

from typing import Literal

from pyrovae import guides, models
from pyrovae.data import DataSpec
from pyrovae.errors import nearest
from pyrovae.nets import MLPEncoder
from pyrovae.pair import Pair
from pyrovae.pairs.ae import decoder_of
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.vae import Activation, LikelihoodName, Scale

__all__ = ["aae"]

POSTERIORS = ("deterministic", "gaussian")


@recipe("aae", "Makhzani, Shlens, Jaitly, Goodfellow and Frey, Adversarial Autoencoders", 2016)
def aae(
    spec: DataSpec,
    *,
    latent_dim: int = 8,
    hidden: list[int] | tuple[int, ...] = (1000, 1000),
    activation: Activation = "relu",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
    posterior: Literal["deterministic", "gaussian"] = "deterministic",
    discriminator_hidden: int = 1000,
) -> Pair:
    """An adversarial autoencoder: z = e(x), x | z, and codes that a discriminator cannot tell from p(z) = N(0, I).

    The objective ``aae`` makes three updates a batch: reconstruction, discriminator, deception. A deterministic code is a
    point, so that importance weights and the ELBO do not exist; log p(x) of the model by annealing from its prior
    (``log_evidence(..., method="ais", start="prior")``) does.

    Args:
        posterior: the guide, a point at e(x) or a Gaussian around it.
        discriminator_hidden: width of the two hidden layers of the discriminator.

    References: Makhzani, Shlens, Jaitly, Goodfellow and Frey, Adversarial Autoencoders, 2016, Section 2 and Appendix A.
    """
    if posterior not in POSTERIORS:
        raise nearest("posterior of aae", posterior, POSTERIORS)
    decoder, law = decoder_of(spec, latent_dim, hidden, activation, likelihood, scale)
    point = posterior == "deterministic"
    encoder = MLPEncoder(spec.shape, hidden, latent_dim if point else 2 * latent_dim, activation)
    guide = guides.Deterministic(encoder) if point else guides.DiagonalGaussian(encoder)
    return Pair(models.VAE(decoder, law, latent_dim), guide, {"name": "aae", "hidden": discriminator_hidden})
