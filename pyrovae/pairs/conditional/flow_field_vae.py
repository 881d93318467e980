"""The flow field VAE: an image as another one, moved."""

from __future__ import annotations

from typing import Literal

import torch

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions.likelihoods import build
from pyrovae.nets import MLPDecoder, MLPEncoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import SOURCE
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Activation

__all__ = ["flow_field_vae"]


@recipe(
    "Yeh et al.",
    "Semantic Facial Expression Editing using Autoencoded Flow",
    2016,
    objective="smoothness",
    needs=[SOURCE],
    tiny=[tiny("moved", latent_dim=3, hidden=[16])],
)
def flow_field_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 10,
    hidden: list[int] | tuple[int, ...] = (200, 200),
    activation: Activation = "tanh",
    scale: float | Literal["shared"] = "shared",
) -> Pair:
    """An image x as a ``source`` that is given, each pixel read where a flow of z and the source says; Gaussian about it.

    The flow starts around 0, at the source itself. How smooth it is is no part of the density: objective ``smoothness`` weighs
    its total variation, and logs the share of places where it folds. The paper's confidence of each pixel is not built.

    Args:
        hidden: sizes of the hidden layers of the encoder, and reversed of the decoder.
        activation: of the hidden layers.
        scale: of the Gaussian: a number, or 'shared', one that is learned.

    References: Yeh, Liu, Goldman and Agarwala, Semantic Facial Expression Editing using Autoencoded Flow, 2016.
    """
    encoder = MLPEncoder(spec.shape, hidden, 2 * latent_dim, activation, [spec.shape])
    decoder = MLPDecoder([latent_dim, spec.shape], list(reversed(hidden)), spec.shape[-2:], 2, activation)
    with torch.no_grad():
        decoder.mlp[-1].weight.mul_(0.1)
    likelihood = build("gaussian", spec.shape, spec.kind, spec.levels, scale)
    return models.FlowFieldVAE(decoder, likelihood, latent_dim), guides.SourceGaussian(encoder)
