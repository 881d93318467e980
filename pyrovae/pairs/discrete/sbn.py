"""Sigmoid belief networks of one to several layers."""

from __future__ import annotations

import torch

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import OptionError
from pyrovae.nets import MLP
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["sbn"]


@recipe(
    "Mnih and Rezende",
    "Variational Inference for Monte Carlo Objectives",
    2016,
    sites=["z2", "z1"],
    objective={"name": "vimco", "num_particles": 5},
    tiny=[tiny("digits", latent_dim=4)],
)
def sbn(spec: DataSpec, *, latent_dim: int = 200, num_layers: int = 2, dense: Dense = Dense(hidden=())) -> Pair:
    """A sigmoid belief network of layers of bits, each a logistic regression on the one above, and its mirror as guide.

    Any of ``vimco``, ``rws``, ``wake-sleep`` and ``nvil`` trains it; with one layer also the estimators that move all bits at
    once, as in ``fit(objective="elbo:estimator=arm")``, and the relaxations with any.

    Args:
        latent_dim: n, bits of a layer.
        num_layers: L.
        hidden: sizes of hidden layers between the layers of bits; none for logistic regressions.

    References: Mnih and Gregor, Neural Variational Inference and Learning in Belief Networks, 2014; Mnih and Rezende,
    Variational Inference for Monte Carlo Objectives, 2016, Section 6.
    """
    if num_layers < 1:
        raise OptionError(f"num_layers is {num_layers!r}; expected at least 1.")

    def layers() -> list[MLP]:
        return [MLP(latent_dim, dense.hidden, latent_dim, dense.activation) for _ in range(num_layers - 1)]

    model = models.SBN(layers(), *dense.decoder(latent_dim), latent_dim)
    mean = torch.zeros(spec.shape) if spec.mean is None else spec.mean
    return model, guides.BottomUpBernoulli(dense.encoder(latent_dim), layers(), mean)
