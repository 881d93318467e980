"""The distribution of an image's colours: for each pixel a mixture of discretized logistics of its channels."""

from __future__ import annotations

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyrovae.distributions.levels import DiscretizedLogistic, Levels

__all__ = ["ColourMixture"]


class ColourMixture(TorchDistribution):
    """Images of three channels, (3, H, W), in L levels: each pixel's colour is a mixture of M components, in nats, (*batch).

        P(r, g, b) = sum_m pi_m P_m(r) P_m(g | r) P_m(b | r, g)

    P_m are discretized logistics (:class:`~pyrovae.distributions.DiscretizedLogistic`) of scales s_m and of the locations
    loc_r,  loc_g + alpha_m r',  loc_b + beta_m r' + gamma_m g',  where r' = 2r - 1: channels depend on those before them, in
    a linear way.

    Args:
        logits: of pi, (..., M, H, W).
        loc, scale: of the channels, (..., M, 3, H, W).
        coefficients: alpha, beta, gamma, (..., M, 3, H, W); None lets channels be independent given the component.
        levels: L.

    References: Salimans et al., PixelCNN++, 2017, Eqs. (1) to (3).
    """

    arg_constraints = {
        "logits": constraints.independent(constraints.real, 3),
        "loc": constraints.independent(constraints.real, 4),
        "scale": constraints.independent(constraints.positive, 4),
    }

    def __init__(
        self,
        logits: Tensor,
        loc: Tensor,
        scale: Tensor,
        coefficients: Tensor | None = None,
        levels: int = 256,
        validate_args: bool | None = None,
    ) -> None:
        self.logits, self.loc, self.scale = logits.log_softmax(-3), loc, scale
        self.coefficients, self.levels = coefficients, levels
        super().__init__(loc.shape[:-4], loc.shape[-3:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=3)
    def support(self) -> constraints.Constraint:
        """Where the mass is not zero."""
        return constraints.independent(Levels(self.levels), 3)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> ColourMixture:
        """The same distribution with this batch shape."""
        new = self._get_checked_instance(ColourMixture, _instance)
        for name, dims in (("logits", 3), ("loc", 4), ("scale", 4), ("coefficients", 4)):
            value = getattr(self, name)
            setattr(new, name, value if value is None else value.expand(*batch_shape, *value.shape[-dims:]))
        new.levels = self.levels
        super(ColourMixture, new).__init__(torch.Size(batch_shape), self.event_shape, validate_args=False)
        return new

    def _channels(self, loc: Tensor, scale: Tensor) -> DiscretizedLogistic:
        return DiscretizedLogistic(loc, scale, self.levels, validate_args=False)

    @staticmethod
    def _shift(coefficients: Tensor, x: Tensor) -> Tensor:
        """What the channels of x add to the locations: of red nothing, of green alpha r', of blue beta r' + gamma g'."""
        red, green = 2 * x[..., 0, :, :] - 1, 2 * x[..., 1, :, :] - 1
        alpha, beta, gamma = coefficients.unbind(-3)
        return torch.stack([torch.zeros_like(alpha * red), alpha * red, beta * red + gamma * green], -3)

    def log_prob(self, value: Tensor) -> Tensor:
        """log P(value), in nats, (*batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        x = value.unsqueeze(-4)
        loc = self.loc if self.coefficients is None else self.loc + self._shift(self.coefficients, x)
        each = self._channels(loc, self.scale).log_prob(x).sum(-3)
        return (self.logits + each).logsumexp(-3).sum((-2, -1))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Draws, (*sample_shape, *batch_shape, 3, H, W), without gradient: a component, then a channel after another."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            probs = self.logits.exp().movedim(-3, -1)
            chosen = torch.distributions.Categorical(probs, validate_args=False).sample(sample_shape)[..., None, None, :, :]

            def of(parameter: Tensor) -> Tensor:
                index = chosen.expand(*shape[:-3], 1, *shape[-3:])
                return parameter.expand(*shape[:-3], *parameter.shape[-4:]).gather(-4, index).squeeze(-4)

            loc, scale = of(self.loc), of(self.scale)
            if self.coefficients is None:
                return self._channels(loc, scale).sample()
            coefficients, x = of(self.coefficients), torch.zeros_like(loc)
            for channel in range(3):
                shifted = (loc + self._shift(coefficients, x))[..., channel, :, :]
                x[..., channel, :, :] = self._channels(shifted, scale[..., channel, :, :]).sample()
            return x

    @property
    def mean(self) -> Tensor:
        """E[x], (*batch_shape, 3, H, W), where channels are independent given the component; else there is no closed form."""
        if self.coefficients is not None:
            raise NotImplementedError("the mean of channels that depend on those before them has no closed form")
        return (self.logits.exp().unsqueeze(-3) * self._channels(self.loc, self.scale).mean).sum(-4)
