"""The variational recurrent autoencoder."""

from __future__ import annotations

import math

import torch
from torch import nn

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import AutoregressiveBernoulli, AutoregressiveGaussian
from pyrovae.errors import OptionError
from pyrovae.nets import ContextRNN, Recurrent
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import STEPS
from pyrovae.pairs.tiny import tiny

__all__ = ["vrae"]


@recipe(
    "Fabius and van Amersfoort",
    "Variational Recurrent Auto-Encoders",
    2014,
    kinds=["binary", "real"],
    needs=[STEPS],
    tiny=[tiny("digits", latent_dim=3, recurrent_dim=12)],
)
def vrae(spec: DataSpec, *, latent_dim: int = 20, recurrent_dim: int = 500) -> Pair:
    """One latent of a whole sequence, (T, D), between a recurrent encoder and a recurrent decoder that z starts.

    Args:
        latent_dim: d, the dimension of z.
        recurrent_dim: size of the recurrent networks.

    References: Fabius and van Amersfoort, Variational Recurrent Auto-Encoders, 2014.
    """
    if spec.kind not in ("binary", "real"):
        raise OptionError(f"pair vrae does not score {spec.kind} data; binarize them, or give the kind 'real'.")
    size, is_binary = math.prod(spec.shape[1:]), spec.kind == "binary"
    network = ContextRNN(size, recurrent_dim, size if is_binary else 2 * size, latent_dim)
    if spec.mean is not None:
        mean = spec.mean.reshape(-1, size).mean(0)
        with torch.no_grad():
            network.out.bias[:size].copy_(mean.clamp(1e-3, 1 - 1e-3).logit() if is_binary else mean)
    model = models.VRAE(network, spec.shape, AutoregressiveBernoulli if is_binary else AutoregressiveGaussian, latent_dim)
    return model, guides.VRAEGuide(Recurrent(size, recurrent_dim, "tanh"), nn.Linear(recurrent_dim, 2 * latent_dim))
