"""The variational autoencoder with a VampPrior."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense, PseudoInputOptions

__all__ = ["vamp_vae"]


@recipe(
    "Tomczak and Welling",
    "VAE with a VampPrior",
    2018,
    tiny=[
        tiny("digits", latent_dim=3, hidden=[20], pseudo_inputs=7),
        tiny("missing", latent_dim=3, hidden=[20], pseudo_inputs=7, pseudo_range="sigmoid"),
    ],
)
def vamp_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 40,
    dense: Dense = Dense(hidden=(300, 300), activation="gated"),
    pseudo: PseudoInputOptions = PseudoInputOptions(),
) -> Pair:
    """A VAE with the prior p(z) = (1/M) sum_m q(z | u_m), u_m learned; its standard counterpart is ``vae`` of these options.

    The pseudo-inputs start at noise; to start them at M data, ``pair.model.prior.pseudo_inputs.start_at(x)`` before training.

    References: Tomczak and Welling, VAE with a VampPrior, 2018, Eq. (9).
    """
    encoder = dense.encoder(2 * latent_dim)
    decoder, likelihood = dense.decoder(latent_dim)
    return models.VAE(decoder, likelihood, latent_dim, pseudo.prior(encoder)), guides.DiagonalGaussian(encoder)
