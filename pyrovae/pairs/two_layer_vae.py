"""The network of two stochastic layers on which importance weighted autoencoders were tried."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import likelihoods
from pyrovae.nets.mlp import MLP, MLPDecoder, MLPEncoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.vae import Activation, LikelihoodName, Scale, start_decoder

__all__ = ["two_layer_vae"]


@recipe("two-layer-vae", "Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders", 2016)
def two_layer_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 50,
    lower_dim: int = 100,
    hidden: list[int] | tuple[int, ...] = (200, 200),
    upper_hidden: list[int] | tuple[int, ...] = (100, 100),
    activation: Activation = "tanh",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
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
    law = likelihoods.build(likelihood, spec.shape, spec.kind, spec.levels, scale)
    features = MLP(latent_dim, list(reversed(upper_hidden)), 2 * lower_dim, activation)
    decoder = MLPDecoder(lower_dim, list(reversed(hidden)), spec.shape, law.num_params, activation)
    start_decoder(decoder, law, spec)
    lower = MLPEncoder(spec.shape, hidden, 2 * lower_dim, activation)
    upper = MLP(lower_dim, upper_hidden, 2 * latent_dim, activation)
    return Pair(models.TwoLayerVAE(features, decoder, law, latent_dim), guides.BottomUpGaussian(lower, upper))
