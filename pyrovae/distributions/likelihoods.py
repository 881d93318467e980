"""Likelihoods p(x | h): modules from a decoder's output h, (..., P, *shape), to a distribution of one datum x, (*shape).

P (``num_params``) is how many numbers the decoder must give per dimension of x.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyrovae.distributions.energies import GreyBernoulli
from pyrovae.distributions.levels import DiscretizedLogistic, LevelsCategorical
from pyrovae.errors import OptionError, nearest

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "BernoulliGrey",
    "Categorical",
    "ContinuousBernoulli",
    "DiscretizedLogisticLevels",
    "Gaussian",
    "Likelihood",
    "build",
]

Scale = float | Literal["shared", "predicted"]
MIN_SCALE = 1e-3  # keeps a Gaussian's density finite on data that a network can fit exactly


def _logit(mean: Tensor) -> Tensor:
    return torch.logit(mean.clamp(1e-3, 1 - 1e-3))


class Likelihood(nn.Module):
    """Base: ``forward(h)`` splits h along the parameter axis and declares all dimensions of x one event."""

    num_params = 1
    kinds: tuple[str, ...] = ("binary", "levels", "unit", "real")

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def law(self, *params: Tensor) -> TorchDistribution:
        raise NotImplementedError("a likelihood defines law(*params)")

    def forward(self, h: Tensor) -> TorchDistribution:
        axis = -1 - len(self.shape)
        params = [h.squeeze(axis)] if self.num_params == 1 else h.unbind(axis)  # a squeeze costs no copy backwards
        return self.law(*params).to_event(len(self.shape))

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose law has about this mean: where decoders start from; None to start anywhere."""
        return None


class Bernoulli(Likelihood):
    """x_i ~ Bernoulli(sigmoid(h_i)), for x in {0, 1}."""

    kinds = ("binary",)

    def law(self, logits: Tensor) -> TorchDistribution:
        return dist.Bernoulli(logits=logits)

    def start(self, mean: Tensor) -> Tensor | None:
        return _logit(mean).unsqueeze(0)


class BernoulliGrey(Likelihood):
    """The cross-entropy of grey pixels in [0, 1]: an energy and no density (:class:`~pyrovae.distributions.GreyBernoulli`)."""

    kinds = ("binary", "levels", "unit")

    def law(self, logits: Tensor) -> TorchDistribution:
        return GreyBernoulli(logits)

    def start(self, mean: Tensor) -> Tensor | None:
        return _logit(mean).unsqueeze(0)


class ContinuousBernoulli(Likelihood):
    """p(x_i) = C(p_i) p_i^x_i (1 - p_i)^(1 - x_i) on [0, 1], p_i = sigmoid(h_i).

    References: Loaiza-Ganem and Cunningham, The Continuous Bernoulli, 2019.
    """

    kinds = ("binary", "levels", "unit")

    def law(self, logits: Tensor) -> TorchDistribution:
        return dist.ContinuousBernoulli(logits=logits)


class Gaussian(Likelihood):
    """x_i ~ Normal(h_i, scale_i^2).

    Args:
        shape: of x.
        scale: a number (fixed), "shared" (one learned scale) or "predicted" (by the decoder, for each dimension); the
            learned ones stay above 0.001, which bounds the density.
    """

    def __init__(self, shape: tuple[int, ...], scale: Scale = "shared") -> None:
        super().__init__(shape)
        self.fixed: float | None = None
        if scale == "predicted":
            self.num_params = 2
        elif scale == "shared":
            self.log_scale = nn.Parameter(torch.tensor(-1.0))
        elif isinstance(scale, (int, float)) and scale > 0:
            self.fixed = float(scale)
        else:
            raise OptionError(f"scale is {scale!r}; expected a positive number, 'shared' or 'predicted'.")

    def law(self, loc: Tensor, raw: Tensor | None = None) -> TorchDistribution:
        if self.fixed is not None:
            return dist.Normal(loc, self.fixed)
        scale = self.log_scale.exp() if raw is None else softplus(raw)
        return dist.Normal(loc, scale + MIN_SCALE)

    def start(self, mean: Tensor) -> Tensor | None:
        return torch.stack([mean, *[torch.zeros_like(mean)] * (self.num_params - 1)])


class DiscretizedLogisticLevels(Likelihood):
    """P(x_i = k/(L-1)) by a logistic of location sigmoid(h_i), cut at the midpoints between levels.

    The law is :class:`~pyrovae.distributions.DiscretizedLogistic`.

    Args: as for :class:`Gaussian`, and ``levels``, L.
    """

    kinds = ("levels",)

    def __init__(self, shape: tuple[int, ...], scale: Scale = "shared", levels: int = 256) -> None:
        super().__init__(shape)
        if scale not in ("shared", "predicted"):
            raise OptionError(f"scale is {scale!r}; expected 'shared' or 'predicted' for a discretized logistic.")
        self.levels = levels
        self.num_params = 2 if scale == "predicted" else 1
        if scale == "shared":
            self.log_scale = nn.Parameter(torch.tensor(-2.0))

    def law(self, loc: Tensor, raw: Tensor | None = None) -> TorchDistribution:
        scale = self.log_scale.exp() if raw is None else softplus(raw)
        return DiscretizedLogistic(torch.sigmoid(loc), scale + MIN_SCALE, self.levels)

    def start(self, mean: Tensor) -> Tensor | None:
        return torch.stack([_logit(mean), *[torch.zeros_like(mean)] * (self.num_params - 1)])


class Categorical(Likelihood):
    """P(x_i = k/(L-1)) = softmax(h_i)_k (:class:`~pyrovae.distributions.LevelsCategorical`)."""

    kinds = ("binary", "levels")

    def __init__(self, shape: tuple[int, ...], levels: int = 256) -> None:
        super().__init__(shape)
        self.num_params = levels

    def forward(self, h: Tensor) -> TorchDistribution:
        return LevelsCategorical(h.movedim(-1 - len(self.shape), -1)).to_event(len(self.shape))


LIKELIHOODS: dict[str, Callable[..., Likelihood]] = {
    "bernoulli": Bernoulli,
    "bernoulli-grey": BernoulliGrey,
    "continuous-bernoulli": ContinuousBernoulli,
    "gaussian": Gaussian,
    "discretized-logistic": DiscretizedLogisticLevels,
    "categorical": Categorical,
}
_DEFAULTS = {"binary": "bernoulli", "levels": "gaussian", "unit": "continuous-bernoulli", "real": "gaussian"}


def build(
    name: str | None, shape: tuple[int, ...], kind: str, levels: int | None = None, scale: Scale = "shared"
) -> Likelihood:
    """The likelihood of a name for data of a kind (None: the kind's usual one); refuses one that is no law of the data.

    >>> build(None, (8, 8), "binary")
    Bernoulli()
    """
    name = _DEFAULTS[kind] if name is None else name
    if name not in LIKELIHOODS:
        raise nearest("likelihood", name, LIKELIHOODS)
    make = LIKELIHOODS[name]
    if kind not in make.kinds:  # type: ignore[attr-defined]
        hint = (
            "; binarize the data (binarization='dynamic'), or ask for 'bernoulli-grey', which is an energy and no density"
            if name == "bernoulli" and kind in ("levels", "unit")
            else ""
        )
        raise OptionError(f"likelihood {name!r} is no law of {kind} data (it takes {', '.join(make.kinds)}){hint}.")  # type: ignore[attr-defined]
    if name == "gaussian":
        return Gaussian(shape, scale)
    if name == "discretized-logistic":
        return DiscretizedLogisticLevels(shape, scale, levels or 256)
    return Categorical(shape, levels or 2) if name == "categorical" else make(shape)
