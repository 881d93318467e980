"""A mixture of Gaussians whose draws are differentiable."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

__all__ = ["NormalMixture"]


class NormalMixture(TorchDistribution):
    """sum_c w_c N(z; loc_c, diag scale_c^2) on R^d, exact in its density and reparameterized in its draws.

    A draw z is turned into uniforms u_i = F(z_i | z_1 .. z_i-1), whose law does not depend on the parameters t, so that along
    a draw dz/dt = -(dF/dz)^-1 dF/dt, with dF/dz lower triangular: unbiased pathwise gradients of first order for weights,
    means and scales alike. Pyro's ``MixtureOfDiagNormals`` has another such gradient, not for d = 1 nor for equal means.

    Args:
        logits: of the weights, (..., C).
        loc, scale: (..., C, d).

    References: Figurnov, Mohamed and Mnih, Implicit Reparameterization Gradients, 2018, Section 3; Graves, Stochastic
    Backpropagation through Mixture Density Distributions, 2016.

    >>> NormalMixture(torch.zeros(2), torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1)).variance
    tensor([2.])
    """

    arg_constraints = {
        "logits": constraints.real_vector,
        "loc": constraints.independent(constraints.real, 2),
        "scale": constraints.independent(constraints.positive, 2),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, logits: Tensor, loc: Tensor, scale: Tensor, validate_args: bool | None = None) -> None:
        self.logits, self.loc, self.scale = logits.log_softmax(-1), loc, scale
        super().__init__(loc.shape[:-2], loc.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> NormalMixture:
        new = self._get_checked_instance(NormalMixture, _instance)
        batch_shape = torch.Size(batch_shape)
        new.logits = self.logits.expand(*batch_shape, -1)
        new.loc, new.scale = (v.expand(*batch_shape, *self.loc.shape[-2:]) for v in (self.loc, self.scale))
        super(NormalMixture, new).__init__(batch_shape, self.event_shape, validate_args=False)
        return new

    @property
    def _normal(self) -> dist.Normal:
        return dist.Normal(self.loc, self.scale, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        scores = self._normal.log_prob(value.unsqueeze(-2))
        return (self.logits + scores.sum(-1)).logsumexp(-1)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        with torch.no_grad():
            chosen = dist.Categorical(logits=self.logits, validate_args=False).sample(sample_shape)
            one_hot = (chosen.unsqueeze(-1) == torch.arange(self.logits.shape[-1], device=chosen.device)).unsqueeze(-1)
            loc, scale = ((v * one_hot).sum(-2) for v in (self.loc, self.scale))
            z = loc + scale * torch.randn_like(loc)
        if torch.is_grad_enabled() and any(v.requires_grad for v in (self.logits, self.loc, self.scale)):
            z = z - self._path(z)
        return z

    def _path(self, z: Tensor) -> Tensor:
        """Zeros whose gradient is (dF/dz)^-1 dF/dt at z, (..., d)."""
        normal = self._normal
        scores = normal.log_prob(z.unsqueeze(-2))
        before = scores.cumsum(-1) - scores  # log density of the coordinates before, for each component
        weight = (self.logits.unsqueeze(-1) + before).softmax(-2)  # w_c given those
        below = normal.cdf(z.unsqueeze(-2))
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
        return (self.logits.exp().unsqueeze(-1) * self.loc).sum(-2)

    @property
    def variance(self) -> Tensor:
        second = (self.logits.exp().unsqueeze(-1) * (self.scale.square() + self.loc.square())).sum(-2)
        return second - self.mean.square()
