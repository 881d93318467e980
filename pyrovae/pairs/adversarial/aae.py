"""The adversarial autoencoder."""

from __future__ import annotations

from pyrovae import models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import AdversarialCodes, Dense

__all__ = ["aae"]


@recipe(
    "Makhzani, Shlens, Jaitly, Goodfellow and Frey",
    "Adversarial Autoencoders",
    2016,
    objective="aae",
    density={"posterior": "gaussian"},
    only={"noise_dim": {"posterior": "universal"}, "blur": {"prior": "swiss-roll"}},
    tiny=[
        tiny("digits", latent_dim=3, hidden=[20], discriminator_hidden=10),
        tiny("grey", latent_dim=3, hidden=[20], posterior="gaussian", discriminator_hidden=10),
        tiny("digits", latent_dim=3, hidden=[20], posterior="universal", noise_dim=2, discriminator_hidden=10),
        tiny("labels", latent_dim=2, hidden=[20], prior="petals", labels=True, discriminator_hidden=10),
    ],
)
def aae(
    spec: DataSpec,
    *,
    latent_dim: int = 8,
    dense: Dense = Dense(hidden=(1000, 1000), activation="relu"),
    codes: AdversarialCodes = AdversarialCodes(),
    discriminator_hidden: int = 1000,
    discriminator_noise: float = 0.0,
) -> Pair:
    """An adversarial autoencoder: z = e(x), x | z, and codes that a discriminator cannot tell from p(z).

    The objective ``aae`` makes three updates a batch: reconstruction, discriminator, deception. A deterministic code is a
    point and a universal one has no density, so that importance weights and the ELBO do not exist; log p(x) of the model by
    annealing from its prior (``log_evidence(pair, data, method="ais", start="prior")``) does. A prior of your own, which need
    only be drawn from, is given to the model in a builder of your own: ``models.VAE(decoder, likelihood, d, prior)``.

    Args:
        discriminator_hidden: width of the two hidden layers of the discriminator.
        discriminator_noise: standard deviation of Gaussian noise on what it sees of codes and draws.

    References: Makhzani, Shlens, Jaitly, Goodfellow and Frey, Adversarial Autoencoders, 2016, Section 2, Figure 3 and
    Appendix A.
    """
    model = models.VAE(*dense.decoder(latent_dim), latent_dim, codes.own_prior(latent_dim))
    sizes = {"hidden": discriminator_hidden, "num_classes": codes.num_classes, "noise": discriminator_noise}
    return Pair(model, codes.guide(dense, latent_dim), {"name": "aae", **sizes})
