"""The variational autoencoder with dense networks."""

from __future__ import annotations

from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense, Posterior

__all__ = ["vae"]


@recipe(
    "Kingma and Welling",
    "Auto-Encoding Variational Bayes",
    2014,
    tiny=[
        tiny("digits", latent_dim=3, hidden=[20]),
        tiny("digits", latent_dim=2, hidden=[20, 10], posterior="full-rank", activation="elu"),
        tiny("grey", latent_dim=3, hidden=[20], likelihood="gaussian", scale="predicted"),
        tiny("grey", latent_dim=3, hidden=[20], likelihood="gaussian", scale=0.3),
        tiny("grey", latent_dim=3, hidden=[20], likelihood="continuous-bernoulli"),
        tiny("grey", latent_dim=3, hidden=[20], likelihood="discretized-logistic", scale="predicted"),
        tiny("grey", latent_dim=3, hidden=[20], likelihood="categorical"),
        tiny("grey", latent_dim=3, hidden=[20], likelihood="logistic-mixture:num_components=2"),
        tiny("missing", latent_dim=3, hidden=[20]),
        tiny("digits", latent_dim=3, hidden=[20], posterior="mixture", num_components=2),
        tiny("digits", latent_dim=3, hidden=[20], posterior="rank-one"),
        tiny("digits", latent_dim=3, hidden=[20], posterior="hyperspherical"),
        tiny("digits", latent_dim=3, hidden=[20], posterior="auxiliary", auxiliary_dim=2),
    ],
)
def vae(spec: DataSpec, *, latent_dim: int = 50, dense: Dense = Dense(), posterior: Posterior = Posterior()) -> Pair:
    """A VAE with dense networks, on data of any shape.

    References: Kingma and Welling, Auto-Encoding Variational Bayes, 2014, Appendix C.
    """
    guide = posterior.guide(dense, latent_dim)
    return posterior.model(dense, latent_dim), guide
