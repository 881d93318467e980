"""Deep latent Gaussian models."""

from __future__ import annotations

from typing import Literal

from torch import nn

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.nets import MLP
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["dlgm"]


@recipe(
    "Rezende et al.",
    "Stochastic Backpropagation and Approximate Inference in Deep Generative Models",
    2014,
    sites=["xi2", "xi1"],
    objective="meanfield",
    tiny=[tiny("digits", latent_dim=3, width=8, hidden=[16], precision="rank-one")],
)
def dlgm(
    spec: DataSpec,
    *,
    latent_dim: int = 200,
    num_layers: int = 2,
    width: int = 200,
    precision: Literal["diagonal", "rank-one"] = "rank-one",
    dense: Dense = Dense(hidden=(200,), activation="relu"),
) -> Pair:
    """Noise xi_l enters at each of L layers on the way to x; the guide has for each a Gaussian from x alone.

    Noise of this many dimensions drowns the signal at first: without a warmup of the KL, ``fit(kl_warmup=10)``, no unit of the
    default network on MNIST ever becomes active.

    Args:
        latent_dim: d, of each xi_l.
        num_layers: L.
        width: n, units of each layer.
        precision: of the guide's Gaussians: diagonal, or with one direction of correlation.
        hidden: sizes of the hidden layers of the encoders, of the maps between layers, and of the decoder.

    References: Rezende, Mohamed and Wierstra, Stochastic Backpropagation and Approximate Inference in Deep Generative Models,
    2014.
    """
    rank_one = precision == "rank-one"
    enter = [nn.Linear(latent_dim, width, bias=False) for _ in range(num_layers)]
    transform = [MLP(width, dense.hidden, width, dense.activation) for _ in range(num_layers - 1)]
    encoders = [dense.encoder((3 if rank_one else 2) * latent_dim) for _ in range(num_layers)]
    model = models.DLGM(enter, transform, *dense.decoder(width), latent_dim)
    return model, guides.LayeredGaussian(encoders, rank_one)
