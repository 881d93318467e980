"""The VAE with a learned hierarchical prior."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.nets import MLP
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["vhp_vae"]


@recipe(
    "Klushyn, Chen, Kurle, Cseke and van der Smagt",
    "Learning Hierarchical Priors in VAEs",
    2019,
    sites=["z2", "z1"],
    objective="nested:site=z2,num_nested=16",
    tiny=[tiny("digits", latent_dim=3, upper_dim=2, hidden=[20], upper_hidden=[10])],
)
def vhp_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 40,
    upper_dim: int = 40,
    dense: Dense = Dense(hidden=(300, 300), activation="gated"),
    upper_hidden: list[int] | tuple[int, ...] = (100, 100),
) -> Pair:
    """A code z1 whose prior is int p(z1 | z2) p(z2) dz2, estimated inside the KL by several draws of q(z2 | z1).

    Args:
        latent_dim: d, the dimension of z1.
        upper_dim: e, the dimension of z2.
        hidden: sizes of the hidden layers from x to z1, and reversed from z1 to x.
        upper_hidden: sizes of the hidden layers from z1 to z2, and reversed from z2 to z1.

    References: Klushyn et al., Learning Hierarchical Priors in VAEs, 2019, Section 2.2.
    """
    features = MLP(upper_dim, list(reversed(upper_hidden)), 2 * latent_dim)
    model = models.TwoLayerVAE(features, *dense.decoder(latent_dim), upper_dim)
    return model, guides.BottomUpGaussian(dense.encoder(2 * latent_dim), MLP(latent_dim, upper_hidden, 2 * upper_dim))
