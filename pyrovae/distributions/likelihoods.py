"""Likelihoods p(x | h): modules from a decoder's output h, (..., P, *shape), to a distribution of one datum x, (*shape).

P (``num_params``) is how many numbers the decoder must give per dimension of x.
"""

from __future__ import annotations

from typing import Literal

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyrovae.distributions.energies import GreyBernoulli
from pyrovae.distributions.levels import DiscretizedLogistic, LevelsCategorical
from pyrovae.errors import OptionError
from pyrovae.registry import Registry

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
    """Base: ``forward(h)`` splits h along the parameter axis and declares all dimensions of x one event.

    Attributes:
        num_params: P.
        kinds: of data that it scores.
        is_density: whether its score is the logarithm of a density or mass.
    """

    num_params = 1
    kinds: tuple[str, ...] = ("binary", "levels", "unit", "real")
    is_density = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def distribution(self, *params: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        raise NotImplementedError("a likelihood defines distribution(*params)")

    def forward(self, h: Tensor) -> TorchDistribution:
        """p(x | h), h the parameters side by side, (..., P, *shape)."""
        axis = -1 - len(self.shape)
        params = [h.squeeze(axis)] if self.num_params == 1 else h.unbind(axis)  # a squeeze costs no copy backwards
        return self.distribution(*params).to_event(len(self.shape))

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean: where decoders start from; None to start anywhere."""
        return None


class Bernoulli(Likelihood):
    """x_i ~ Bernoulli(sigmoid(h_i)), for x in {0, 1}."""

    kinds = ("binary",)

    def distribution(self, logits: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        return dist.Bernoulli(logits=logits)

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        return _logit(mean).unsqueeze(0)


class BernoulliGrey(Likelihood):
    """The cross-entropy of grey pixels in [0, 1]: an energy and no density (:class:`~pyrovae.distributions.GreyBernoulli`)."""

    is_density = False
    kinds = ("binary", "levels", "unit")

    def distribution(self, logits: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        return GreyBernoulli(logits)

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        return _logit(mean).unsqueeze(0)


class ContinuousBernoulli(Likelihood):
    """p(x_i) = C(p_i) p_i^x_i (1 - p_i)^(1 - x_i) on [0, 1], p_i = sigmoid(h_i).

    References: Loaiza-Ganem and Cunningham, The Continuous Bernoulli, 2019.
    """

    kinds = ("binary", "levels", "unit")

    def distribution(self, logits: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
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

    def distribution(self, loc: Tensor, raw: Tensor | None = None) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        if self.fixed is not None:
            return dist.Normal(loc, self.fixed)
        scale = self.log_scale.exp() if raw is None else softplus(raw)
        return dist.Normal(loc, scale + MIN_SCALE)

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        return torch.stack([mean, *[torch.zeros_like(mean)] * (self.num_params - 1)])


class DiscretizedLogisticLevels(Likelihood):
    """P(x_i = k/(L-1)) by a logistic of location sigmoid(h_i), cut at the midpoints between levels.

    The distribution is :class:`~pyrovae.distributions.DiscretizedLogistic`.

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

    def distribution(self, loc: Tensor, raw: Tensor | None = None) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        scale = self.log_scale.exp() if raw is None else softplus(raw)
        return DiscretizedLogistic(torch.sigmoid(loc), scale + MIN_SCALE, self.levels)

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        return torch.stack([_logit(mean), *[torch.zeros_like(mean)] * (self.num_params - 1)])


class Categorical(Likelihood):
    """P(x_i = k/(L-1)) = softmax(h_i)_k (:class:`~pyrovae.distributions.LevelsCategorical`)."""

    kinds = ("binary", "levels")

    def __init__(self, shape: tuple[int, ...], levels: int = 256) -> None:
        super().__init__(shape)
        self.num_params = levels

    def forward(self, h: Tensor) -> TorchDistribution:
        """p(x | h), h the parameters side by side, (..., P, *shape)."""
        return LevelsCategorical(h.movedim(-1 - len(self.shape), -1)).to_event(len(self.shape))


LIKELIHOODS: Registry[type[Likelihood]] = Registry(
    "likelihood",
    {
        "bernoulli": Bernoulli,
        "bernoulli-grey": BernoulliGrey,
        "continuous-bernoulli": ContinuousBernoulli,
        "gaussian": Gaussian,
        "discretized-logistic": DiscretizedLogisticLevels,
        "categorical": Categorical,
    },
    given=1,
)
USUAL = {"binary": "bernoulli", "levels": "gaussian", "unit": "continuous-bernoulli", "real": "gaussian"}  # by kind of data


def build(
    name: str | None,
    shape: tuple[int, ...],
    kind: str,
    levels: int | None = None,
    scale: Scale = "shared",
    usual_scale: Scale = "shared",
) -> Likelihood:
    """The likelihood of a name for data of a kind; refuses one that does not score such data, and options that it has not.

    Args:
        name: of :data:`LIKELIHOODS`; None for the kind's usual one.
        shape: of a datum x.
        kind: of the data: "binary", "levels", "unit" or "real".
        levels: how many x has, where kind is "levels".
        scale: of a gaussian or discretized-logistic likelihood.
        usual_scale: the scale that others than those two may be given, and leave unused.

    Raises:
        OptionError: an unknown name, or one that is not for such data.
        UnusedOptionError: a scale that the likelihood does not have.

    >>> build(None, (8, 8), "binary")
    Bernoulli()
    """
    name = USUAL[kind] if name is None else name
    kinds = LIKELIHOODS[name].kinds
    if kind not in kinds:
        hint = (
            "; binarize the data (binarization='dynamic'), or ask for 'bernoulli-grey', which is an energy and no density"
            if name == "bernoulli" and kind in ("levels", "unit")
            else ""
        )
        raise OptionError(f"likelihood {name!r} does not score {kind} data (it takes {', '.join(kinds)}){hint}.")
    own = LIKELIHOODS.own(name, {"scale": scale}, {"scale": usual_scale})
    if "levels" in LIKELIHOODS.options(name):
        own["levels"] = levels or (2 if kind == "binary" else 256)
    return LIKELIHOODS.build(name, shape, **own)
