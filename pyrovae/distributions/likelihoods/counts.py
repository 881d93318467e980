"""Likelihoods of counts: whole numbers from 0 up."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor

from pyrovae.distributions import counts
from pyrovae.distributions.likelihoods.likelihood import Likelihood, Scale, Spread, log_mean, positive
from pyrovae.errors import OptionError

__all__ = ["BagOfWords", "Multinomial", "NegativeBinomial", "Poisson", "ZeroInflatedNegativeBinomial", "ZeroInflatedPoisson"]

START_OF_GATE = -2.0  # logit of the share of extra zeros


class Poisson(Likelihood):
    """x_i ~ Poisson(exp(h_i)) (:class:`~pyrovae.distributions.Poisson`)."""

    kinds = ("count",)

    def distribution(self, log_rate: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        return counts.Poisson(positive(log_rate))

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        return log_mean(mean).unsqueeze(0)


class NegativeBinomial(Spread):
    """x_i of a negative binomial of mean exp(h_i) (:class:`~pyrovae.distributions.NegativeBinomial`).

    Args:
        shape: of x.
        dispersion: r, a number (fixed), "shared" (one learned for each value of x) or "predicted" by the decoder.
    """

    kinds = ("count",)

    def __init__(self, shape: tuple[int, ...], dispersion: Scale = "shared") -> None:
        super().__init__(shape, "dispersion", dispersion, torch.zeros(shape))

    def distribution(self, log_mean: Tensor, *raw: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        return counts.NegativeBinomial(positive(log_mean), self.spread(log_mean, raw))

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        return self.beside(log_mean(mean))


class ZeroInflatedPoisson(Likelihood):
    """x_i = 0 with probability sigmoid(gate_i), else x_i ~ Poisson(exp(h_i)): parameters h, gate.

    References: Lambert, Zero-Inflated Poisson Regression, 1992, Section 2.
    """

    kinds = ("count",)
    num_params = 2

    def distribution(self, log_rate: Tensor, gate: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        return dist.ZeroInflatedDistribution(counts.Poisson(positive(log_rate)), gate_logits=gate)

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        return torch.stack([log_mean(mean), torch.full_like(mean, START_OF_GATE)])


class ZeroInflatedNegativeBinomial(Spread):
    """x_i = 0 with probability sigmoid(gate_i), else of a negative binomial of mean exp(h_i): parameters h, gate.

    Args: as for :class:`NegativeBinomial`.

    References: Lopez et al., Deep Generative Modeling for Single-cell Transcriptomics, 2018, Methods.
    """

    kinds = ("count",)
    num_params = 2

    def __init__(self, shape: tuple[int, ...], dispersion: Scale = "shared") -> None:
        super().__init__(shape, "dispersion", dispersion, torch.zeros(shape))

    def distribution(self, log_mean: Tensor, gate: Tensor, *raw: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        fn = counts.NegativeBinomial(positive(log_mean), self.spread(log_mean, raw))
        return dist.ZeroInflatedDistribution(fn, gate_logits=gate)

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        h = self.beside(log_mean(mean))
        h[1] = START_OF_GATE
        return h


class Multinomial(Likelihood):
    """All values of x given their total n: x ~ Multinomial(n, softmax(h)) (:class:`~pyrovae.distributions.Multinomial`).

    Each datum is scored given its own total. Draws and means have the mean total of the training data, rounded; 1 where the
    description of the data has no mean.
    """

    kinds = ("count",)
    name = "multinomial"
    quantity = "log p(x | its total)"

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape)
        if len(shape) != 1:
            raise OptionError(
                f"likelihood {self.name!r} takes x of shape (D,), one count for each thing; x is {tuple(shape)}."
            )
        self.register_buffer("total", torch.tensor(1.0))

    def forward(self, h: Tensor) -> TorchDistribution:
        """p(x | h), h the parameters side by side, (..., P, *shape)."""
        return counts.Multinomial(h.squeeze(-2), self.total)

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        self.total.fill_(float(mean.sum().round()))
        return log_mean(mean).unsqueeze(0)


class BagOfWords(Multinomial):
    """Words given their number: p(words) = prod_v softmax(h)_v^x_v (:class:`~pyrovae.distributions.BagOfWords`).

    It has no multinomial coefficient, which :class:`Multinomial` has: log p is of the words in their order, as published.
    """

    name = "bag-of-words"
    quantity = "log p(words | their number)"

    def forward(self, h: Tensor) -> TorchDistribution:
        """p(x | h), h the parameters side by side, (..., P, *shape)."""
        return counts.BagOfWords(h.squeeze(-2), self.total)
