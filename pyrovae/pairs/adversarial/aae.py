"""The adversarial autoencoder with a Gaussian prior."""

from __future__ import annotations

from typing import Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import PetalsPrior, SwissRollPrior
from pyrovae.errors import OptionError, nearest
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["aae"]

GUIDES = {"deterministic": (guides.Deterministic, 1), "gaussian": (guides.DiagonalGaussian, 2)}
PRIORS = ("normal", "petals", "swiss-roll")


@recipe(
    "Makhzani, Shlens, Jaitly, Goodfellow and Frey",
    "Adversarial Autoencoders",
    2016,
    objective="aae",
    density={"posterior": "gaussian"},
    tiny=[
        tiny("digits", latent_dim=3, hidden=[20], discriminator_hidden=10),
        tiny("grey", latent_dim=3, hidden=[20], posterior="gaussian", discriminator_hidden=10),
        tiny("digits", latent_dim=2, hidden=[20], prior="petals", discriminator_hidden=10),
    ],
)
def aae(
    spec: DataSpec,
    *,
    latent_dim: int = 8,
    dense: Dense = Dense(hidden=(1000, 1000), activation="relu"),
    posterior: Literal["deterministic", "gaussian"] = "deterministic",
    prior: Literal["normal", "petals", "swiss-roll"] = "normal",
    blur: float = 0.05,
    discriminator_hidden: int = 1000,
) -> Pair:
    """An adversarial autoencoder: z = e(x), x | z, and codes that a discriminator cannot tell from p(z).

    The objective ``aae`` makes three updates a batch: reconstruction, discriminator, deception. A deterministic code is a
    point, so that importance weights and the ELBO do not exist; log p(x) of the model by annealing from its prior
    (``log_evidence(pair, data, method="ais", start="prior")``) does.

    Args:
        posterior: the guide, a point at e(x) or a Gaussian around it.
        prior: N(0, I), or in the plane (latent_dim=2) ten Gaussian petals or a swiss roll.
        blur: standard deviation of the blur of the swiss roll, which has no density in the plane without one.
        discriminator_hidden: width of the two hidden layers of the discriminator.

    References: Makhzani, Shlens, Jaitly, Goodfellow and Frey, Adversarial Autoencoders, 2016, Section 2 and Appendix A.
    """
    if posterior not in GUIDES:
        raise nearest("posterior of aae", posterior, GUIDES)
    if prior not in PRIORS:
        raise nearest("prior of aae", prior, PRIORS)
    if prior != "normal" and latent_dim != 2:
        raise OptionError(f"prior={prior!r} lies in the plane, and latent_dim is {latent_dim}; give latent_dim=2.")
    if blur != 0.05 and prior != "swiss-roll":
        raise OptionError(f"blur={blur!r} is of prior='swiss-roll', and prior is {prior!r}; leave it out.")
    own = {"normal": lambda: None, "petals": PetalsPrior, "swiss-roll": lambda: SwissRollPrior(blur)}[prior]()
    guide, num_params = GUIDES[posterior]
    model = models.VAE(*dense.decoder(latent_dim), latent_dim, own)
    objective = {"name": "aae", "hidden": discriminator_hidden}
    return Pair(model, guide(dense.encoder(num_params * latent_dim)), objective)
