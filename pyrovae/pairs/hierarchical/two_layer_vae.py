"""The network of two stochastic layers on which importance weighted autoencoders were tried."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.nets import MLP
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["two_layer_vae"]


@recipe(
    "Burda, Grosse and Salakhutdinov",
    "Importance Weighted Autoencoders",
    2016,
    sites=["z2", "z1"],
    tiny=[tiny("digits", latent_dim=3, lower_dim=4, hidden=[20], upper_hidden=[10])],
)
def two_layer_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 50,
    lower_dim: int = 100,
    dense: Dense = Dense(),
    upper_hidden: list[int] | tuple[int, ...] = (100, 100),
) -> Pair:
    """Two stochastic layers: z2 ~ N(0, I), z1 | z2, x | z1; guide q(z1 | x) q(z2 | z1).

    With its defaults on 28 x 28 images, the paper's 784-200-200-[100]-100-100-[50]. Trained there by ``iwae`` or ``elbo``.

    Args:
        latent_dim: e, the dimension of z2.
        lower_dim: d, the dimension of z1.
        hidden: sizes of the hidden layers from x to z1, and reversed from z1 to x.
        upper_hidden: sizes of the hidden layers from z1 to z2, and reversed from z2 to z1.

    References: Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2016, Section 5.
    """
    features = MLP(latent_dim, list(reversed(upper_hidden)), 2 * lower_dim, dense.activation)
    model = models.TwoLayerVAE(features, *dense.decoder(lower_dim), latent_dim)
    lower = dense.encoder(2 * lower_dim)
    return model, guides.BottomUpGaussian(lower, MLP(lower_dim, upper_hidden, 2 * latent_dim, dense.activation))
