"""The variational autoencoder of two levels, both of which the data see."""

from __future__ import annotations

from typing import Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import nearest
from pyrovae.nets import MLP, BranchedMLP
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense, PseudoInputOptions

__all__ = ["hvae"]


@recipe(
    "Tomczak and Welling",
    "VAE with a VampPrior",
    2018,
    sites=["z2", "z1"],
    only={f"pseudo_{name}": {"prior": "vampprior"} for name in ("inputs", "range", "mean", "std")},
    tiny=[
        tiny("digits", latent_dim=3, lower_dim=4, hidden=[20, 10], pseudo_inputs=7),
        tiny("grey", prior="standard", latent_dim=3, lower_dim=4, hidden=[20, 10]),
    ],
)
def hvae(
    spec: DataSpec,
    *,
    prior: Literal["standard", "vampprior"] = "vampprior",
    latent_dim: int = 40,
    lower_dim: int = 40,
    dense: Dense = Dense(hidden=(300, 300), activation="gated"),
    pseudo: PseudoInputOptions = PseudoInputOptions(),
) -> Pair:
    """The two-level VAE: p(z2) p(z1 | z2) p(x | z1, z2), guide q(z2 | x) q(z1 | x, z2), p(z2) standard or a VampPrior.

    Args:
        prior: p(z2): standard, N(0, I), or vampprior, (1/M) sum_m q(z2 | u_m).
        latent_dim: e, the dimension of z2.
        lower_dim: d, the dimension of z1.
        hidden: sizes of the hidden layers of every network; those of several inputs have the first layer for each of them.

    References: Tomczak and Welling, VAE with a VampPrior, 2018, Section 4.
    """
    if prior not in ("standard", "vampprior"):
        raise nearest("prior", prior, ["standard", "vampprior"])
    features = MLP(latent_dim, dense.hidden, 2 * lower_dim, dense.activation)
    decoder, likelihood = dense.decoder([lower_dim, latent_dim], branched=True)
    upper = dense.encoder(2 * latent_dim)
    lower = BranchedMLP([spec.shape, latent_dim], dense.hidden, 2 * lower_dim, dense.activation)
    vamp = pseudo.prior(upper) if prior == "vampprior" else None
    return models.HVAE(features, decoder, likelihood, latent_dim, vamp), guides.TopDownGaussian(upper, lower)
