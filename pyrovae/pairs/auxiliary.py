"""ADGM and SDGM: M2 with an auxiliary latent variable."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import likelihoods
from pyrovae.nets.mlp import JointMLP, MLPDecoder, MLPEncoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.m2 import OBJECTIVE, num_classes
from pyrovae.pairs.vae import Activation, LikelihoodName, Scale, start_decoder

__all__ = ["adgm", "sdgm"]


def _guide(
    spec: DataSpec, latent_dim: int, auxiliary_dim: int, hidden: Sequence[int], activation: str, classes: int
) -> nn.Module:
    return guides.AuxiliaryClassGaussian(
        MLPEncoder(spec.shape, hidden, 2 * auxiliary_dim, activation),
        MLPEncoder(spec.shape, hidden, classes, activation, others=[auxiliary_dim]),
        MLPEncoder(spec.shape, hidden, 2 * latent_dim, activation, others=[auxiliary_dim, classes]),
    )


@recipe("adgm", "Maaloe et al., Auxiliary Deep Generative Models", 2016)
def adgm(
    spec: DataSpec,
    *,
    latent_dim: int = 100,
    auxiliary_dim: int = 100,
    hidden: list[int] | tuple[int, ...] = (500, 500),
    activation: Activation = "relu",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
) -> Pair:
    """The auxiliary deep generative model: M2 whose guide is a mixture over a, q(a | x) q(y | x, a) q(z | x, a, y).

    Args:
        auxiliary_dim: e, the dimension of a.
        hidden: sizes of the hidden layers of each network, reversed for the decoder.

    References: Maaloe et al., Auxiliary Deep Generative Models, 2016.
    """
    classes = num_classes(spec)
    law = likelihoods.build(likelihood, spec.shape, spec.kind, spec.levels, scale)
    decoder = MLPDecoder([latent_dim, classes], list(reversed(hidden)), spec.shape, law.num_params, activation)
    start_decoder(decoder, law, spec)
    auxiliary = MLPEncoder(spec.shape, hidden, 2 * auxiliary_dim, activation, others=[latent_dim, classes])
    model = models.ADGM(decoder, law, auxiliary, latent_dim, classes)
    return Pair(model, _guide(spec, latent_dim, auxiliary_dim, hidden, activation, classes), OBJECTIVE)


@recipe("sdgm", "Maaloe et al., Auxiliary Deep Generative Models", 2016)
def sdgm(
    spec: DataSpec,
    *,
    latent_dim: int = 100,
    auxiliary_dim: int = 100,
    hidden: list[int] | tuple[int, ...] = (500, 500),
    activation: Activation = "relu",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
) -> Pair:
    """The skip deep generative model: x depends on a, z and y, and a on z and y.

    Args:
        auxiliary_dim: e, the dimension of a.
        hidden: sizes of the hidden layers of each network, reversed for the decoder.

    References: Maaloe et al., Auxiliary Deep Generative Models, 2016.
    """
    classes = num_classes(spec)
    law = likelihoods.build(likelihood, spec.shape, spec.kind, spec.levels, scale)
    inputs = [auxiliary_dim, latent_dim, classes]
    decoder = MLPDecoder(inputs, list(reversed(hidden)), spec.shape, law.num_params, activation)
    start_decoder(decoder, law, spec)
    auxiliary = JointMLP([latent_dim, classes], hidden, 2 * auxiliary_dim, activation)
    model = models.SDGM(decoder, law, auxiliary, latent_dim, classes)
    return Pair(model, _guide(spec, latent_dim, auxiliary_dim, hidden, activation, classes), OBJECTIVE)
