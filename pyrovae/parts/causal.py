"""Causal networks of data of a description, which start at the mean of the data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from pyrovae.data import DataSpec
from pyrovae.distributions import AutoregressiveBernoulli, AutoregressiveGaussian
from pyrovae.distributions.likelihoods.likelihood import logit_mean
from pyrovae.errors import OptionError
from pyrovae.nets import MADE, CausalRNN, MaskedConv

__all__ = ["MaskedDecoder", "causal_network"]

KINDS = ("binary", "real")


def causal_network(spec: DataSpec, name: str, hidden: Sequence[int], num_params: int) -> nn.Module:
    """From the values of x before each, (..., T, D), to ``num_params`` numbers for each value, (..., T, D num_params).

    Raises:
        OptionError: data of another kind, shape or length than the network takes.
    """
    if spec.kind not in KINDS:
        raise OptionError(
            f"pair autoregressive does not score {spec.kind} data (it takes {', '.join(KINDS)}); binarize them, or give the "
            "kind 'real' where they are loaded."
        )
    if name != "made" and (len(hidden) != 1 or len(spec.shape) != 2):
        raise OptionError(
            f"network {name!r} came with hidden={list(hidden)} for x of shape {spec.shape}; expected one size, and x (H, W) "
            "or (T, D): use network='made' for others."
        )
    if name != "recurrent" and "lengths" in spec.keys:
        raise OptionError(f"network {name!r} has no steps to end at lengths, which {spec.name} has; use network='recurrent'.")
    if name == "made":
        return _started(MADE(math.prod(spec.shape), hidden, num_params), spec, num_params)
    if name == "convolution":
        return MaskedConv((spec.shape[0], spec.shape[1]), hidden[0], num_params)
    return CausalRNN(spec.shape[1], hidden[0], num_params * spec.shape[1])


@torch.no_grad()
def _started(network: MADE, spec: DataSpec, num_params: int) -> MADE:
    """The network whose output starts around the mean of the data."""
    if spec.mean is not None:
        mean = logit_mean(spec.mean) if spec.kind == "binary" else spec.mean
        network.layers[-1].bias.view(-1, num_params)[:, 0].copy_(mean.flatten())
    return network


class MaskedDecoder(nn.Module):
    """z, (..., d), to p(x | z) = prod_i p(x_i | x_above and to the left, z) of images (H, W), by masked convolutions.

    Args:
        spec: of bits or real numbers.
        channels: of the convolutions.
        latent_dim: d.

    Raises:
        OptionError: data of another kind or shape.
    """

    def __init__(self, spec: DataSpec, channels: int, latent_dim: int) -> None:
        super().__init__()
        if spec.kind not in KINDS or len(spec.shape) != 2:
            raise OptionError(
                f"masked convolutions do not score {spec.kind} data of shape {spec.shape}; expected {' or '.join(KINDS)} "
                "images (H, W): binarize them, or choose decoder='mlp'."
            )
        is_binary, self.shape = spec.kind == "binary", (spec.shape[0], spec.shape[1])
        self.family = AutoregressiveBernoulli if is_binary else AutoregressiveGaussian
        self.network = MaskedConv(self.shape, channels, 1 if is_binary else 2, latent_dim)

    def forward(self, z: Tensor) -> TorchDistribution:
        """p(x | z)."""
        return self.family(self.network, self.shape, z)
