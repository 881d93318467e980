"""Likelihoods of pixels and other values that are binary, levels or in [0, 1]."""

from __future__ import annotations

import math

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyrovae.distributions.colours import ColourMixture
from pyrovae.distributions.energies import GreyBernoulli
from pyrovae.distributions.levels import DiscretizedLogistic, LevelsCategorical
from pyrovae.distributions.likelihoods.likelihood import MIN_SCALE, Likelihood, Scale, Spread, logit_mean
from pyrovae.distributions.ordinal import Ordinal
from pyrovae.distributions.structural_similarity import StructuralSimilarity, num_scales
from pyrovae.errors import OptionError

__all__ = [
    "Bernoulli",
    "BernoulliGrey",
    "Categorical",
    "ContinuousBernoulli",
    "DiscretizedLogisticLevels",
    "LogisticMixture",
    "MSSSIM",
    "OrdinalLevels",
]


class Bernoulli(Likelihood):
    """x_i ~ Bernoulli(sigmoid(h_i)), for x in {0, 1}."""

    kinds = ("binary",)

    def distribution(self, logits: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        return dist.Bernoulli(logits=logits)

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        return logit_mean(mean).unsqueeze(0)


class BernoulliGrey(Likelihood):
    """The cross-entropy of grey pixels in [0, 1]: an energy and no density (:class:`~pyrovae.distributions.GreyBernoulli`)."""

    is_density = False
    kinds = ("binary", "levels", "unit")

    def distribution(self, logits: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        return GreyBernoulli(logits)

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        return logit_mean(mean).unsqueeze(0)


class MSSSIM(Likelihood):
    """Multi-scale structural similarity to sigmoid(h): an energy and no density.

    The score is :class:`~pyrovae.distributions.StructuralSimilarity`'s. The number of scales follows the size of the image:
    two of 28x28 with a window of 11, five from 176 pixels on.

    Args:
        shape: of x, (H, W) or (C, H, W).
        weight: nats of a reconstruction that is nothing like x.
        window: width of the Gaussian window in pixels, odd.

    Raises:
        OptionError: x is no image, or one that the window does not fit into.

    References: Snell et al., Learning to Generate Images with Perceptual Similarity Metrics, 2017.
    """

    is_density = False
    kinds = ("binary", "levels", "unit")

    def __init__(self, shape: tuple[int, ...], weight: float = 100.0, window: int = 11) -> None:
        super().__init__(shape)
        num_scales(self.shape, window)
        if isinstance(weight, (bool, str)) or not 0 < weight < math.inf:
            raise OptionError(f"weight of ms-ssim is {weight!r}; expected a number above 0, in nats.")
        self.weight, self.window = float(weight), window

    def forward(self, h: Tensor) -> TorchDistribution:
        """The energy of x given h, the logits, (..., 1, *shape)."""
        image = h.squeeze(-1 - len(self.shape)).sigmoid()
        return StructuralSimilarity(image, self.weight, self.window, len(self.shape))

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        return logit_mean(mean).unsqueeze(0)


class ContinuousBernoulli(Likelihood):
    """p(x_i) = C(p_i) p_i^x_i (1 - p_i)^(1 - x_i) on [0, 1], p_i = sigmoid(h_i).

    References: Loaiza-Ganem and Cunningham, The Continuous Bernoulli, 2019.
    """

    kinds = ("binary", "levels", "unit")

    def distribution(self, logits: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        return dist.ContinuousBernoulli(logits=logits)


class DiscretizedLogisticLevels(Spread):
    """P(x_i = k/(L-1)) by a logistic of location sigmoid(h_i), cut at the midpoints between levels.

    The distribution is :class:`~pyrovae.distributions.DiscretizedLogistic`.

    Args:
        shape: of x.
        scale: "shared" (one learned scale) or "predicted" (by the decoder, for each dimension).
        levels: L.
    """

    kinds = ("levels",)

    def __init__(self, shape: tuple[int, ...], scale: Scale = "shared", levels: int = 256) -> None:
        if scale not in ("shared", "predicted"):
            raise OptionError(f"scale is {scale!r}; expected 'shared' or 'predicted' for a discretized logistic.")
        super().__init__(shape, "scale", scale, torch.tensor(-2.0))
        self.levels = levels

    def distribution(self, loc: Tensor, *raw: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        return DiscretizedLogistic(torch.sigmoid(loc), self.spread(loc, raw), self.levels)

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        return self.beside(logit_mean(mean))


class LogisticMixture(Likelihood):
    """A mixture of M discretized logistics, of the colour of a pixel where x is (3, H, W), else of each value by itself.

    The components' locations start evenly over [0, 1]; those of colours depend on the channels before them in the pixel
    (:class:`~pyrovae.distributions.ColourMixture`). The decoder gives, for each value, M locations, scales and logits of the
    components' weights, and for colours M coefficients; a colour's weights are of the sum of the logits of its channels.

    Args:
        shape: of x.
        num_components: M.
        autoregressive: whether a colour's channels depend on those before them, which they do by default; where they do not,
            the mean has a closed form.
        levels: L.

    References: Salimans et al., PixelCNN++, 2017, Eqs. (1) to (3).
    """

    kinds = ("levels",)

    def __init__(
        self, shape: tuple[int, ...], num_components: int = 10, autoregressive: bool | None = None, levels: int = 256
    ) -> None:
        super().__init__(shape)
        self.num_components, self.levels = num_components, levels
        self.colours = len(shape) == 3 and shape[0] == 3
        if autoregressive and not self.colours:
            raise OptionError(
                f"autoregressive is True and x has shape {tuple(shape)}; expected colours, (3, H, W): leave it out."
            )
        self.autoregressive = self.colours and autoregressive is not False
        self.num_params = (4 if self.autoregressive else 3) * num_components
        centres = (torch.arange(num_components) + 0.5) / num_components
        self.register_buffer("centres", centres.reshape(-1, *[1] * len(shape)), persistent=False)

    def forward(self, h: Tensor) -> TorchDistribution:
        """p(x | h), h the parameters side by side, (..., P, *shape)."""
        dims = len(self.shape)
        loc, raw, logits, *coefficients = h.unflatten(-1 - dims, (-1, self.num_components)).unbind(-2 - dims)
        loc = self.centres + 0.5 * loc
        scale = 0.1 * softplus(raw) + MIN_SCALE
        if self.colours:
            bent = [0.5 * torch.tanh(each) for each in coefficients]  # locations are on [0, 1], r' on [-1, 1]
            return ColourMixture(logits.sum(-3), loc, scale, *(bent or [None]), levels=self.levels)
        loc, scale, logits = (each.movedim(-1 - dims, -1) for each in (loc, scale, logits))
        parts = DiscretizedLogistic(loc, scale, self.levels)
        return dist.MixtureSameFamily(dist.Categorical(logits=logits), parts).to_event(dims)


class Categorical(Likelihood):
    """P(x_i = k/(L-1)) = softmax(h_i)_k (:class:`~pyrovae.distributions.LevelsCategorical`)."""

    kinds = ("binary", "levels")

    def __init__(self, shape: tuple[int, ...], levels: int = 256) -> None:
        super().__init__(shape)
        self.num_params = levels

    def forward(self, h: Tensor) -> TorchDistribution:
        """p(x | h), h the parameters side by side, (..., P, *shape)."""
        return LevelsCategorical(h.movedim(-1 - len(self.shape), -1)).to_event(len(self.shape))


class OrdinalLevels(Likelihood):
    """P(x_i <= k/(L-1)) = sigmoid(threshold_ik - h_i), thresholds learned (:class:`~pyrovae.distributions.Ordinal`).

    Levels have an order and no distance: an answer from "never" to "always", a grade.

    Args:
        shape: of x.
        levels: L.
        top: the value of the highest level.
    """

    kinds = ("binary", "levels")

    def __init__(self, shape: tuple[int, ...], levels: int = 256, top: float = 1.0) -> None:
        super().__init__(shape)
        self.top = top
        even = torch.logit(torch.arange(1, levels) / levels)
        self.first = nn.Parameter(even[0].expand(*shape, 1).clone())
        self.log_gaps = nn.Parameter(even.diff().log().expand(*shape, levels - 2).clone())

    @property
    def thresholds(self) -> Tensor:
        """Increasing, (*shape, L-1)."""
        return torch.cat([self.first, self.first + self.log_gaps.exp().cumsum(-1)], -1)

    def distribution(self, loc: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        return Ordinal(loc, self.thresholds, self.top)
