"""The VAE whose prior is made of the training data."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import ExemplarPrior
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import NEIGHBOURS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["exemplar_vae"]


@recipe(
    "Norouzi, Fleet and Norouzi",
    "Exemplar VAE: Linking Generative Models, Nearest Neighbor Retrieval, and Data Augmentation",
    2020,
    needs=[NEIGHBOURS],
    tiny=[tiny("neighbours", latent_dim=3, hidden=[20])],
)
def exemplar_vae(spec: DataSpec, *, latent_dim: int = 40, dense: Dense = Dense(hidden=(300, 300), activation="gated")) -> Pair:
    """A VAE with the prior p(z) = (1/N) sum_n N(z; m(x_n), s^2 I) of all training data, a datum's own left out.

    In training the sum is over the neighbours that the transform ``neighbours`` finds; the paper looks for them among codes,
    anew as these move.

    References: Norouzi, Fleet and Norouzi, Exemplar VAE, 2020, Eq. (7) and Section 3.2.
    """
    encoder = dense.encoder(2 * latent_dim)
    num_exemplars = spec.keys["row"].size
    assert num_exemplars is not None
    prior = ExemplarPrior(encoder, num_exemplars, latent_dim)
    return models.ExemplarVAE(*dense.decoder(latent_dim), prior), guides.DiagonalGaussian(encoder)
