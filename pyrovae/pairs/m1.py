"""M1, a VAE whose features are classified, and M1+M2, the class model stacked on them."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.nets.mlp import MLP, JointMLP
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.m2 import OBJECTIVE, num_classes
from pyrovae.pairs.vae import Activation, LikelihoodName, Scale, vae

__all__ = ["m1", "m1_m2"]


@recipe("m1", "Kingma et al., Semi-supervised Learning with Deep Generative Models", 2014)
def m1(
    spec: DataSpec,
    *,
    latent_dim: int = 50,
    hidden: list[int] | tuple[int, ...] = (600, 600),
    activation: Activation = "softplus",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
) -> Pair:
    """M1: a VAE, whose posterior means are features for ``evaluate(classifier=...)``.

    References: Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014, Eq. (1) and (3).
    """
    pair = vae(spec, latent_dim=latent_dim, hidden=hidden, activation=activation, likelihood=likelihood, scale=scale)
    return Pair(pair.model, pair.guide, "meanfield")


@recipe("m1-m2", "Kingma et al., Semi-supervised Learning with Deep Generative Models", 2014)
def m1_m2(
    spec: DataSpec,
    *,
    latent_dim: int = 50,
    hidden: list[int] | tuple[int, ...] = (500,),
    feature_dim: int = 50,
    feature_hidden: list[int] | tuple[int, ...] = (600, 600),
    activation: Activation = "softplus",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
) -> Pair:
    """M1+M2: M2 on features z1 of a VAE, which is trained first, as a stage, and then stands still.

    Args:
        latent_dim: d, the dimension of z2, the style.
        hidden: sizes of the hidden layers of M2's networks.
        feature_dim: e, the dimension of z1.
        feature_hidden: sizes of the hidden layers of the VAE.
        activation: of all hidden layers.

    References: Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014, Section 2 (stacked model).
    """
    classes = num_classes(spec)
    first = m1(spec, latent_dim=feature_dim, hidden=feature_hidden, activation=activation, likelihood=likelihood, scale=scale)
    features = JointMLP([latent_dim, classes], list(reversed(hidden)), 2 * feature_dim, activation)
    model = models.M1M2(features, first.model.decoder, first.model.likelihood, latent_dim, classes)
    guide = guides.FeatureClassGaussian(
        first.guide.encoder,
        MLP(feature_dim, hidden, classes, activation),
        JointMLP([feature_dim, classes], hidden, 2 * latent_dim, activation),
    )
    return Pair(model, guide, OBJECTIVE, stages=(first,))
