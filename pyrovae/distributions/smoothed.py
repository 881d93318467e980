"""Vectors of smoothed bits: given the bits, with the bits summed out, and with those of a Boltzmann machine summed out."""

from __future__ import annotations

import math

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.nn.functional import logsigmoid, softplus

from pyrovae.distributions.rbm import RBM, BoltzmannMachine, LogNormalizer
from pyrovae.distributions.smoothing import SURE, GaussianIntegral, Smoothing
from pyrovae.errors import OptionError

__all__ = ["KnownBits", "RelaxedRBM", "SmoothedBernoulli", "SmoothedBits"]

NONE = torch.Size()
Shape = torch.Size | list[int] | tuple[int, ...]  # as torch.distributions takes them


class KnownBits(dist.Bernoulli):
    """A Bernoulli whose bits are certain where their logits say so; ``log_prob`` in nats, (*batch_shape).

        z = 1 where logit >= 80, z = 0 where logit <= -80, else z ~ Bernoulli(sigmoid(logit))

    ``torch.bernoulli`` draws a 1 about once in 2^25 times, however small its probability: among the bits that a spike tells,
    one such draw has no density in the model, and a bound of minus infinity.

    >>> KnownBits(logits=torch.tensor([-80.0, 80.0])).sample()
    tensor([0., 1.])
    """

    def sample(self, sample_shape: Shape = NONE) -> Tensor:
        """Draws, (*sample_shape, *batch_shape)."""
        logits = self.logits
        drawn = super().sample(torch.Size(sample_shape))
        return torch.where(logits >= SURE, 1.0, torch.where(logits <= -SURE, 0.0, drawn))


class SmoothedBits(TorchDistribution):
    """Numbers given bits, zeta ~ r(zeta | z) independently, (*batch_shape, n); ``log_prob`` in nats, (*batch_shape).

        log r(zeta | z) = sum_i z_i log r(zeta_i | 1) + (1 - z_i) log r(zeta_i | 0)

    Args:
        bits: z, (*batch_shape, n).
        smoothing: r.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, bits: Tensor, smoothing: Smoothing) -> None:
        self.bits, self.smoothing = bits, smoothing
        super().__init__(bits.shape[:-1], bits.shape[-1:], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The smoothing's, of each number."""
        return constraints.independent(self.smoothing.support, 1)

    @property
    def atoms(self) -> tuple[float, ...]:
        """Numbers that have mass, where no density is."""
        return self.smoothing.atoms

    def expand(self, batch_shape: Shape, _instance: TorchDistribution | None = None) -> SmoothedBits:
        """The same distribution with this batch shape."""
        return SmoothedBits(self.bits.expand(*batch_shape, -1), self.smoothing)

    def log_prob(self, value: Tensor) -> Tensor:
        """log r(zeta | z), (*batch_shape), in nats."""
        one, zero = self.smoothing.log_one(value), self.smoothing.log_zero(value)
        if self.smoothing.overlapping:
            return (zero + self.bits * (one - zero)).sum(-1)
        return torch.where(self.bits > 0.5, one, zero).sum(-1)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = NONE) -> Tensor:
        """Draws, (*sample_shape, *batch_shape, n)."""
        return self.smoothing.draw(self.bits.expand(*sample_shape, *self.bits.shape))


class SmoothedBernoulli(TorchDistribution):
    """Independent bits, smoothed and summed out, (*batch_shape, n); ``log_prob`` in nats, (*batch_shape).

        q(zeta) = prod_i (1 - q_i) r(zeta_i | 0) + q_i r(zeta_i | 1),   q = sigmoid(logits)

    A draw is zeta ~ r(zeta | z), z ~ Bernoulli(q). Its gradient is that of the mixture's inverse distribution function at
    fixed noise, d zeta / d q = (F(zeta | 0) - F(zeta | 1)) / q(zeta), where the smoothing overlaps. A draw of the spike and
    exponential has it too, but what depends on z = 1[zeta > 0] has none by it: to all objectives but ``smoothed``, which asks
    for it, such a site is one drawn without reparameterization.

    Args:
        logits: (*batch_shape, n).
        smoothing: r.
        pathwise: whether draws have a gradient; by default where the smoothing overlaps.

    References: Rolfe, Discrete Variational Autoencoders, 2017, Section 2.1; Vahdat et al., DVAE++, 2018, Section 3; Figurnov,
    Mohamed and Mnih, Implicit Reparameterization Gradients, 2018 (the gradient without the inverse).

    >>> from pyrovae.distributions.smoothing import Exponential
    >>> SmoothedBernoulli(torch.zeros(5, 3), Exponential(4.0)).sample().shape
    torch.Size([5, 3])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, logits: Tensor, smoothing: Smoothing, pathwise: bool | None = None) -> None:
        self.logits, self.smoothing = logits, smoothing
        self.has_rsample = smoothing.overlapping if pathwise is None else pathwise
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The smoothing's, of each number."""
        return constraints.independent(self.smoothing.support, 1)

    @property
    def atoms(self) -> tuple[float, ...]:
        """Numbers that have mass, where no density is."""
        return self.smoothing.atoms

    def expand(self, batch_shape: Shape, _instance: TorchDistribution | None = None) -> SmoothedBernoulli:
        """The same distribution with this batch shape."""
        return SmoothedBernoulli(self.logits.expand(*batch_shape, -1), self.smoothing, self.has_rsample)

    def with_path(self) -> SmoothedBernoulli:
        """The same distribution, whose draws have a gradient."""
        return SmoothedBernoulli(self.logits, self.smoothing, True)

    def rsample(self, sample_shape: Shape = NONE) -> Tensor:
        """Draws, (*sample_shape, *batch_shape, n), with the gradient of the inverse distribution function."""
        q = self.logits.sigmoid().expand(*sample_shape, *self.logits.shape)
        with torch.no_grad():
            zeta = self.smoothing.draw(torch.bernoulli(q))
            slope = self.smoothing.slope(self.logits, zeta)
        return zeta + slope * (q - q.detach()) if self.has_rsample else zeta

    @torch.no_grad()
    def sample(self, sample_shape: Shape = NONE) -> Tensor:
        """Draws, (*sample_shape, *batch_shape, n)."""
        return self.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log q(zeta), (*batch_shape), in nats."""
        return self.smoothing.mixture(self.logits, value).sum(-1)

    def posterior_logits(self, value: Tensor) -> Tensor:
        """The logits of p(z | zeta), (*batch_shape, n)."""
        return self.smoothing.posterior_logits(self.logits, value)

    def bit_entropy(self) -> Tensor:
        """The entropy of the bits, (*batch_shape), in nats."""
        q = self.logits.sigmoid()
        return -(q * logsigmoid(self.logits) + (1 - q) * logsigmoid(-self.logits)).sum(-1)


class RelaxedRBM(TorchDistribution):
    """The bits of a Boltzmann machine with Gaussian noise, summed out, (*batch_shape, n + m); in nats, known up to log Z.

        p(zeta) = sum_z p(z) N(zeta; z, L^-1),   L = M + beta I,   M = [0 W; W' 0]
                = Z^-1 |L / 2 pi|^(1/2) exp(-zeta' L zeta / 2) prod_i (1 + exp(c_i + (L zeta)_i - beta / 2)),   c = (a, b)

    ``log_prob`` is (*batch_shape). L must be positive definite: beta above the largest singular value of W.

    Args:
        machine: the prior of the bits.
        beta: the sharpness.
        batch_shape: of independent draws.

    Raises:
        OptionError: W has grown beyond beta; in a compiled step the density is then not a number.

    References: Vahdat, Andriyash and Macready, DVAE#: Discrete Variational Autoencoders with Relaxed Boltzmann Priors, 2018
    (the Gaussian integral).
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real_vector

    def __init__(self, machine: BoltzmannMachine, beta: float, batch_shape: Shape = NONE) -> None:
        self.machine, self.beta = machine, GaussianIntegral(beta).beta
        self.bits = RBM(machine, torch.Size(batch_shape))
        super().__init__(torch.Size(batch_shape), self.bits.event_shape, validate_args=False)

    def expand(self, batch_shape: Shape, _instance: TorchDistribution | None = None) -> RelaxedRBM:
        """The same distribution with this batch shape."""
        return RelaxedRBM(self.machine, self.beta, batch_shape)

    def log_normalizer(self) -> LogNormalizer:
        """log Z, its standard error, and the side on which it lies."""
        return self.machine.log_normalizer()

    def next_state(self, value: Tensor) -> dict[Tensor, Tensor]:
        """Where the chains go in this step of training."""
        return self.machine.next_state()

    def _log_det(self) -> Tensor:
        """log |L|, by the smaller layer: |L| = beta^(n - m) |beta^2 I - W'W|."""
        weight = self.machine.weight if self.machine.sizes[0] >= self.machine.sizes[1] else self.machine.weight.T
        inner = self.beta**2 * torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device) - weight.T @ weight
        factor, failed = torch.linalg.cholesky_ex(inner)
        if get_proxy_mode() is None and bool(failed > 0):
            norm = float(torch.linalg.matrix_norm(weight.detach(), 2))
            raise OptionError(
                f"beta is {self.beta:g}; expected more than {norm:.3g}, to which the weights of the RBM have grown."
            )
        found: Tensor = 2 * factor.diagonal().log().sum()
        found = torch.where(failed > 0, math.nan, found)
        return found + (weight.shape[0] - weight.shape[1]) * math.log(self.beta)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(zeta), (*batch_shape), in nats."""
        machine, bits = self.machine, sum(self.machine.sizes)
        u, v = value.split(machine.sizes, -1)
        at_u, at_v = self.beta * u + v @ machine.weight.T, self.beta * v + u @ machine.weight  # L zeta
        energy = 0.5 * ((u * at_u).sum(-1) + (v * at_v).sum(-1))
        summed = softplus(machine.a + at_u - self.beta / 2).sum(-1) + softplus(machine.b + at_v - self.beta / 2).sum(-1)
        constant = 0.5 * self._log_det() - 0.5 * bits * math.log(2 * math.pi) - self.bits.log_z
        scores: Tensor = summed - energy + constant
        return scores.expand(torch.broadcast_shapes(scores.shape, self.batch_shape))

    @torch.no_grad()
    def sample(self, sample_shape: Shape = NONE) -> Tensor:
        """Gibbs samples of the bits, and noise, (*sample_shape, *batch_shape, n + m)."""
        z, weight = self.bits.sample(torch.Size(sample_shape)), self.machine.weight
        n = len(weight)
        precision = self.beta * torch.eye(z.shape[-1], dtype=weight.dtype, device=weight.device)
        precision[:n, n:], precision[n:, :n] = weight, weight.T
        factor = torch.linalg.cholesky(precision)
        noise = torch.linalg.solve_triangular(factor.T, torch.randn_like(z).reshape(-1, z.shape[-1]).T, upper=True)
        return z + noise.T.reshape(z.shape)
