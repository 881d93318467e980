"""Mixtures of Gaussians: many components that all data share, or a few of each datum's own."""

from __future__ import annotations

import math

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

__all__ = ["GaussianMixture"]


class GaussianMixture(TorchDistribution):
    """A mixture of M diagonal Gaussians on R^d, exact in its density, in nats, (*batch_shape).

        p(z) = sum_m w_m N(z; loc_m, diag scale_m^2)

    **Shared components**, (M, d), are a prior of all data. For each z the density holds M numbers, not M x d: the squares
    (z - loc_m)^2 / scale_m^2 come from two products of matrices, in float64, since their terms cancel. Draws are not
    reparameterized; they are for generation.

    **Components of each datum**, (..., M, d), are a posterior, whose draws are reparameterized. A draw z is turned into
    uniforms u_i = F(z_i | z_1 .. z_i-1), whose distribution does not depend on the parameters t, so that along a draw
    dz/dt = -(dF/dz)^-1 dF/dt, with dF/dz lower triangular: unbiased pathwise gradients of first order for weights, means and
    scales alike. Pyro's ``MixtureOfDiagNormals`` has another such gradient, not for d = 1 nor for equal means.

    Args:
        loc, scale: (M, d), the same for all data, or (..., M, d).
        logits: of the weights, (..., M); by default all weigh the same.

    References: Figurnov, Mohamed and Mnih, Implicit Reparameterization Gradients, 2018, Section 3; Graves, Stochastic
    Backpropagation through Mixture Density Distributions, 2016.

    >>> mixture = GaussianMixture(torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1))
    >>> mixture.log_prob(torch.zeros(3, 1)).exp(), mixture.mean, mixture.variance
    (tensor([0.2420, 0.2420, 0.2420]), tensor([0.]), tensor([2.]))
    """

    arg_constraints = {
        "loc": constraints.independent(constraints.real, 2),
        "scale": constraints.independent(constraints.positive, 2),
    }
    support = constraints.real_vector

    def __init__(self, loc: Tensor, scale: Tensor, logits: Tensor | None = None, validate_args: bool | None = None) -> None:
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        self.logits = None if logits is None else logits.log_softmax(-1)
        self.is_shared = self.loc.dim() == 2
        super().__init__(self.loc.shape[:-2], self.loc.shape[-1:], validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether draws are reparameterized: those from components of each datum."""
        return not self.is_shared

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> GaussianMixture:
        """The same distribution with this batch shape."""
        new, batch_shape = self._get_checked_instance(GaussianMixture, _instance), torch.Size(batch_shape)
        new.loc, new.scale, new.logits, new.is_shared = self.loc, self.scale, self.logits, self.is_shared
        if not self.is_shared:
            new.loc, new.scale = (v.expand(*batch_shape, *self.loc.shape[-2:]) for v in (self.loc, self.scale))
            new.logits = None if self.logits is None else self.logits.expand(*batch_shape, -1)
        super(GaussianMixture, new).__init__(batch_shape, self.event_shape, validate_args=False)
        return new

    @property
    def _log_weights(self) -> Tensor:
        """log w_m, (..., M)."""
        return self.loc.new_zeros(self.loc.shape[:-1]).log_softmax(-1) if self.logits is None else self.logits

    @property
    def _components(self) -> dist.Normal:
        return dist.Normal(self.loc, self.scale, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value), in nats, (*batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        if not self.is_shared:
            return (self._log_weights + self._components.log_prob(value.unsqueeze(-2)).sum(-1)).logsumexp(-1)
        z, loc, scale = value.double(), self.loc.double(), self.scale.double()
        precision = scale.square().reciprocal()
        squares = z.square() @ precision.mT - 2 * z @ (loc * precision).mT + (loc.square() * precision).sum(-1)
        log_norm = scale.log().sum(-1) + 0.5 * math.log(2 * math.pi) * loc.shape[1]
        log_norm = log_norm + math.log(len(loc)) if self.logits is None else log_norm - self.logits.double()
        log_prob = torch.logsumexp(-0.5 * squares - log_norm, -1)
        return log_prob.to(value.dtype).expand(torch.broadcast_shapes(log_prob.shape, self.batch_shape))

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """A draw, (*sample_shape, ..., d), without a gradient."""
        if self.is_shared:
            shape = torch.Size(sample_shape) + self.batch_shape
            if self.logits is None:
                component = torch.randint(len(self.loc), shape, device=self.loc.device)
            else:
                component = dist.Categorical(logits=self.logits, validate_args=False).sample(shape)
            return torch.normal(self.loc[component], self.scale[component])
        component = dist.Categorical(logits=self._log_weights, validate_args=False).sample(sample_shape)
        chosen = (component.unsqueeze(-1) == torch.arange(self.loc.shape[-2], device=component.device)).unsqueeze(-1)
        loc, scale = ((v * chosen).sum(-2) for v in (self.loc, self.scale))
        return loc + scale * torch.randn_like(loc)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """A draw from components of each datum, with its pathwise gradient."""
        if self.is_shared:
            raise NotImplementedError("draws of a mixture that all data share are not reparameterized")
        z = self.sample(sample_shape)
        parameters = [v for v in (self.loc, self.scale, self.logits) if v is not None]
        if torch.is_grad_enabled() and any(v.requires_grad for v in parameters):
            z = z - self._path(z)
        return z

    def _path(self, z: Tensor) -> Tensor:
        """Zeros whose gradient is (dF/dz)^-1 dF/dt at z, (..., d)."""
        scores = self._components.log_prob(z.unsqueeze(-2))
        before = scores.cumsum(-1) - scores  # log density of the coordinates before, for each component
        weight = (self._log_weights.unsqueeze(-1) + before).softmax(-2)  # w_m given those
        below = self._components.cdf(z.unsqueeze(-2))
        uniform = (weight * below).sum(-2)
        with torch.no_grad():
            slope = (self.loc - z.unsqueeze(-2)) / self.scale.square()  # d log N / dz
            weighted = weight * below
            jacobian = torch.einsum("...ci,...cj->...ij", weighted, slope)
            jacobian = jacobian - uniform.unsqueeze(-1) * torch.einsum("...ci,...cj->...ij", weight, slope)
            density = (weight * scores.exp()).sum(-2)
            jacobian = jacobian.tril(-1) + torch.diag_embed(density.clamp_min(1e-30))
        moved = (uniform - uniform.detach()).unsqueeze(-1)
        return torch.linalg.solve_triangular(jacobian, moved, upper=False).squeeze(-1)

    @property
    def mean(self) -> Tensor:
        """The mean, (*batch_shape, *event_shape)."""
        weights = self._log_weights.exp().unsqueeze(-1)
        return (weights * self.loc).sum(-2).expand(*self.batch_shape, -1)

    @property
    def variance(self) -> Tensor:
        """The variance of each dimension, (*batch_shape, *event_shape)."""
        weights = self._log_weights.exp().unsqueeze(-1)
        center = (weights * self.loc).sum(-2, keepdim=True)
        spread = self.scale.square() + (self.loc - center).square()
        return (weights * spread).sum(-2).expand(*self.batch_shape, -1)
