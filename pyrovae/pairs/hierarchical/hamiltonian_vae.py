"""The Hamiltonian VAE."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["hamiltonian_vae"]


@recipe(
    "Caterini, Doucet and Sejdinovic",
    "Hamiltonian Variational Auto-Encoder",
    2018,
    tiny=[tiny("digits", latent_dim=3, num_steps=2, hidden=[20])],
)
def hamiltonian_vae(
    spec: DataSpec, *, latent_dim: int = 50, num_steps: int = 5, dense: Dense = Dense(activation="softplus")
) -> Pair:
    """A VAE whose posterior is a Gaussian carried along by tempered Hamiltonian dynamics of log p(x, z).

    Args:
        latent_dim: d, of positions; z has as many momenta beside.
        num_steps: L, leapfrog steps, each a gradient through the decoder.

    References: Caterini, Doucet and Sejdinovic, Hamiltonian Variational Auto-Encoder, 2018, Eq. (9) and Algorithm 1.
    """
    decoder, likelihood = dense.decoder(latent_dim)
    guide = guides.HamiltonianGaussian(dense.encoder(2 * latent_dim), decoder, likelihood, latent_dim, num_steps)
    return models.HamiltonianVAE(decoder, likelihood, latent_dim), guide
