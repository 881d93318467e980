"""The adversarial autoencoder with a Gaussian prior."""

from __future__ import annotations

from typing import Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import nearest
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["aae"]

GUIDES = {"deterministic": (guides.Deterministic, 1), "gaussian": (guides.DiagonalGaussian, 2)}


@recipe(
    "Makhzani, Shlens, Jaitly, Goodfellow and Frey",
    "Adversarial Autoencoders",
    2016,
    objective="aae",
    density={"posterior": "gaussian"},
    tiny=[
        tiny("digits", latent_dim=3, hidden=[20], discriminator_hidden=10),
        tiny("grey", latent_dim=3, hidden=[20], posterior="gaussian", discriminator_hidden=10),
    ],
)
def aae(
    spec: DataSpec,
    *,
    latent_dim: int = 8,
    dense: Dense = Dense(hidden=(1000, 1000), activation="relu"),
    posterior: Literal["deterministic", "gaussian"] = "deterministic",
    discriminator_hidden: int = 1000,
) -> Pair:
    """An adversarial autoencoder: z = e(x), x | z, and codes that a discriminator cannot tell from p(z) = N(0, I).

    The objective ``aae`` makes three updates a batch: reconstruction, discriminator, deception. A deterministic code is a
    point, so that importance weights and the ELBO do not exist; log p(x) of the model by annealing from its prior
    (``log_evidence(pair, data, method="ais", start="prior")``) does.

    Args:
        posterior: the guide, a point at e(x) or a Gaussian around it.
        discriminator_hidden: width of the two hidden layers of the discriminator.

    References: Makhzani, Shlens, Jaitly, Goodfellow and Frey, Adversarial Autoencoders, 2016, Section 2 and Appendix A.
    """
    if posterior not in GUIDES:
        raise nearest("posterior of aae", posterior, GUIDES)
    guide, num_params = GUIDES[posterior]
    model = models.VAE(*dense.decoder(latent_dim), latent_dim)
    objective = {"name": "aae", "hidden": discriminator_hidden}
    return Pair(model, guide(dense.encoder(num_params * latent_dim)), objective)
