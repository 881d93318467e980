"""What every likelihood is: a module from a decoder's output to a distribution of one datum."""

from __future__ import annotations

from typing import Literal

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyrovae.errors import OptionError

__all__ = ["LARGEST_LOG", "Likelihood", "Scale", "Spread", "log_mean", "logit_mean", "positive"]

Scale = float | Literal["shared", "predicted"]
MIN_SCALE = 1e-3  # keeps a Gaussian's density finite on data that a network can fit exactly
LARGEST_LOG = 40.0  # of a positive mean: far from what float32 cannot hold


def logit_mean(mean: Tensor) -> Tensor:
    """The logit of a mean in [0, 1], kept from the edges."""
    return torch.logit(mean.clamp(1e-3, 1 - 1e-3))


def log_mean(mean: Tensor) -> Tensor:
    """The logarithm of a mean of non-negative numbers, kept from zero."""
    return mean.clamp_min(1e-3).log()


def positive(h: Tensor) -> Tensor:
    """exp(h), held between exp(-40) and exp(40)."""
    return h.clamp(-LARGEST_LOG, LARGEST_LOG).exp()


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


class Spread(Likelihood):
    """Base of likelihoods with a positive parameter beside the mean: a scale, a dispersion, a concentration.

    It is a number (fixed), "shared" (learned, ``log_NAME``) or "predicted" by the decoder for each value of x, as the last of
    its parameters; the learned ones stay above 0.001.
    """

    def __init__(self, shape: tuple[int, ...], name: str, chosen: Scale, start: Tensor) -> None:
        super().__init__(shape)
        self.spread_name = name
        self.fixed: float | None = None
        if chosen == "predicted":
            self.num_params = self.num_params + 1
        elif chosen == "shared":
            self.register_parameter(f"log_{name}", nn.Parameter(start))
        elif isinstance(chosen, (int, float)) and chosen > 0:
            self.fixed = float(chosen)
        else:
            raise OptionError(f"{name} is {chosen!r}; expected a positive number, 'shared' or 'predicted'.")

    def spread(self, like: Tensor, raw: tuple[Tensor, ...]) -> Tensor:
        """The parameter, which broadcasts to ``like``, of what the decoder gives for it, if anything."""
        if self.fixed is not None:
            return like.new_tensor(self.fixed)
        return (softplus(raw[0]) if raw else getattr(self, f"log_{self.spread_name}").exp()) + MIN_SCALE

    def beside(self, h: Tensor) -> Tensor:
        """Where decoders start, of the first parameter's start: zero for the others, (P, *shape)."""
        return torch.stack([h, *[torch.zeros_like(h)] * (self.num_params - 1)])
