"""The restricted Boltzmann machine: a prior over bits that is known up to its normalizer, log Z."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, constraints, register_kl
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.nn.functional import softplus

from pyrovae.errors import OptionError

__all__ = ["RBM", "BoltzmannMachine", "LogNormalizer"]

MAX_ENUMERATED = 16  # bits of the smaller layer, up to which log Z is a sum of 2^16 terms
MAX_LISTED = 12  # bits of both layers, up to which all 2^12 values are written down
NORMALIZERS = ("exact", "ais")
AIS_SEED = 0  # of the estimate of log Z, which is a function of the parameters alone


class LogNormalizer(NamedTuple):
    """log Z of an unnormalized distribution, in nats.

    Attributes:
        value: the logarithm of the sum, or its estimate.
        stderr: standard error of the estimate; 0 where it is exact.
        side: on which side of log Z the value lies in expectation: lower, upper, estimate for neither, or exact.
    """

    value: float
    stderr: float
    side: str


class BoltzmannMachine(nn.Module):
    """The parameters of an RBM of n + m bits, its Markov chains, and its log Z.

        log f(u, v) = a'u + b'v + u'W v,   log f(u) = a'u + sum_j softplus(b_j + u'W_j)   (v summed out)

    While it trains, C persistent chains follow the parameters by Gibbs sampling, and log Z by the chains' importance weights:

        log Z(new) = log Z(old) + log (1/C) sum_c f_new(u_c) / f_old(u_c),   u_c ~ p_old

    whose gradient is that of persistent contrastive divergence. In evaluation mode log Z is found anew: the sum itself where
    the smaller layer has at most 16 bits, else annealed importance sampling (:meth:`anneal`).

    Args:
        sizes: n, m.
        num_chains: C, of training, and of the estimate of log Z.
        num_sweeps: Gibbs sweeps of the chains a step, and a draw of them has ten times as many.
        normalizer: "exact" or "ais"; by default exact where it can be.
        num_distributions: T, of annealed importance sampling.

    Attributes:
        a, b, weight: (n,), (m,), (n, m).
        chains: (C, n), the chains' first layers.

    References: Tieleman, Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient, 2008;
    Salakhutdinov and Murray, On the Quantitative Analysis of Deep Belief Networks, 2008; Desjardins, Courville and Bengio,
    On Tracking the Partition Function, 2011.
    """

    chains: Tensor
    log_f: Tensor
    log_z: Tensor

    def __init__(
        self,
        sizes: tuple[int, int],
        num_chains: int = 1000,
        num_sweeps: int = 10,
        normalizer: str | None = None,
        num_distributions: int = 1000,
    ) -> None:
        super().__init__()
        for name, value in (("sizes", min(sizes)), ("num_chains", num_chains - 1), ("num_sweeps", num_sweeps)):
            if value < 1:
                raise OptionError(f"{name} of an RBM is too small: expected two sizes, 2 chains and 1 sweep at least.")
        if num_distributions < 1:
            raise OptionError(f"num_distributions is {num_distributions!r}; expected a whole number of at least 1.")
        small = min(sizes) <= MAX_ENUMERATED
        if normalizer not in (None, *NORMALIZERS):
            raise OptionError(f"normalizer is {normalizer!r}; expected one of {', '.join(NORMALIZERS)}, or None to choose.")
        if normalizer == "exact" and not small:
            raise OptionError(
                f"log Z of an RBM of {sizes[0]} + {sizes[1]} bits is a sum of 2^{min(sizes)} terms; give normalizer='ais'."
            )
        self.sizes, self.num_sweeps, self.num_distributions = tuple(sizes), num_sweeps, num_distributions
        self.normalizer = normalizer or ("exact" if small else "ais")
        self.a, self.b = nn.Parameter(torch.zeros(sizes[0])), nn.Parameter(torch.zeros(sizes[1]))
        self.weight = nn.Parameter(0.01 * torch.randn(*sizes))
        self.register_buffer("chains", torch.bernoulli(torch.full((num_chains, sizes[0]), 0.5)))
        with torch.no_grad():
            self.register_buffer("log_f", self.marginal(self.chains))
            # exact for the product of the layers, from which training starts
            self.register_buffer("log_z", softplus(self.a).sum() + softplus(self.b).sum())
        self._found: tuple[Tensor, LogNormalizer] | None = None  # of these parameters

    # ------------------------------------------------------------------------------------------------ scores
    def score(self, u: Tensor, v: Tensor) -> Tensor:
        """log f(u, v), (*batch,), of u, (*batch, n), and v, (*batch, m)."""
        return u @ self.a + v @ self.b + ((u @ self.weight) * v).sum(-1)

    def marginal(self, u: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """log sum_v f(u, v) with W times beta, (*batch,)."""
        return u @ self.a + softplus(self.b + beta * (u @ self.weight)).sum(-1)

    def sweep(self, u: Tensor, num: int, beta: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """u after so many Gibbs sweeps, u -> v -> u, of the machine with W times beta, (*batch, n)."""
        for _ in range(num):
            v = torch.bernoulli((self.b + beta * (u @ self.weight)).sigmoid(), generator=generator)
            u = torch.bernoulli((self.a + beta * (v @ self.weight.T)).sigmoid(), generator=generator)
        return u

    # ------------------------------------------------------------------------------------------------ log Z
    def log_normalizer(self) -> LogNormalizer:
        """log Z of the parameters as they are: exact, or by annealed importance sampling, a lower bound in expectation."""
        now = torch.cat([p.detach().flatten().cpu() for p in (self.a, self.b, self.weight)])
        if self._found is None or not torch.equal(self._found[0], now):
            self._found = now, self._exact() if self.normalizer == "exact" else self._by_ais()
        return self._found[1]

    def tracked(self) -> Tensor:
        """log Z as the chains follow it, 0-d, differentiable."""
        chains = self.chains.clone()  # which a step writes before its backward pass, under SVI
        return self.log_z + (self.marginal(chains) - self.log_f).logsumexp(0) - math.log(len(chains))

    @torch.no_grad()
    def _exact(self) -> LogNormalizer:
        small, other, weight = self.a, self.b, self.weight
        if len(small) > len(other):
            small, other, weight = other, small, weight.T
        bits = 2 ** torch.arange(len(small), device=small.device)
        total = small.new_full((), -math.inf, dtype=torch.float64)
        for numbers in torch.arange(2 ** len(small), device=small.device).split(4096):
            u = (numbers.unsqueeze(-1) & bits).bool().double()
            terms = u @ small.double() + softplus(other.double() + u @ weight.double()).sum(-1)
            total = torch.logaddexp(total, terms.logsumexp(0))
        return LogNormalizer(float(total), 0.0, "exact")

    def _by_ais(self) -> LogNormalizer:
        weights = self.anneal(len(self.chains), self.num_distributions)
        centred = (weights - weights.max()).exp()
        value = float(weights.logsumexp(0) - math.log(len(weights)))
        return LogNormalizer(value, float(centred.std() / centred.mean() / len(weights) ** 0.5), "lower")

    @torch.no_grad()
    def anneal(self, num_chains: int, num_distributions: int, start: Tensor | None = None, seed: int = AIS_SEED) -> Tensor:
        """Log weights of annealed importance sampling, (C,), float64: E[w] = Z, from the layers without W up to the machine.

            log w = log Z_0 + sum_t log f(u_t-1; beta_t W) - log f(u_t-1; beta_t-1 W)
            log Z_0 = sum_i softplus(a_i) + sum_j softplus(b_j)

        Given ``start``, (C, n), draws of the machine itself, it goes the other way, and -log w is returned: E[exp(-result)] =
        1 / Z, so that its mean lies above log Z, as the mean of the first lies below.

        Args:
            num_chains: C, of the way up.
            num_distributions: T, equal steps of beta.
            start: draws of p(u).
            seed: of the noise, which is apart from torch's.
        """
        generator = torch.Generator(self.a.device).manual_seed(seed)
        betas = torch.linspace(0, 1, num_distributions + 1, dtype=torch.float64).tolist()
        if start is not None:
            betas.reverse()
        u = torch.bernoulli(self.a.sigmoid().expand(num_chains, -1), generator=generator) if start is None else start
        total = torch.zeros(len(u), dtype=torch.float64, device=u.device)
        for before, beta in itertools.pairwise(betas):
            total += (self.marginal(u, beta) - self.marginal(u, before)).double()
            u = self.sweep(u, 1, beta, generator)
        if start is not None:
            total = -total
        return total + float(softplus(self.a).sum() + softplus(self.b).sum())

    # ------------------------------------------------------------------------------------------------ training
    @torch.no_grad()
    def next_state(self) -> dict[Tensor, Tensor]:
        """The chains after their sweeps, and what is needed to follow log Z from here."""
        chains = self.sweep(self.chains, self.num_sweeps)
        return {self.chains: chains, self.log_f: self.marginal(chains), self.log_z: self.tracked().detach()}


class RBM(TorchDistribution):
    """A restricted Boltzmann machine as the distribution of n + m bits, z = (u, v).

        log p(z) = a'u + b'v + u'W v - log Z,   (*batch_shape), in nats

    log Z is the machine's: as its chains follow it in training mode, found anew in evaluation mode, where
    :meth:`log_normalizer` tells its error. Draws are Gibbs samples that start at the chains.

    Args:
        machine: the parameters and chains.
        batch_shape: of independent draws.

    >>> RBM(BoltzmannMachine((3, 2), num_chains=4).eval()).log_prob(torch.zeros(7, 5)).shape
    torch.Size([7])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.independent(constraints.boolean, 1)
    is_multilinear = True  # log_prob is linear in each bit, so that it takes soft ones

    def __init__(self, machine: BoltzmannMachine, batch_shape: torch.Size = torch.Size()) -> None:  # noqa: B008 - torch's form
        self.machine = machine
        super().__init__(torch.Size(batch_shape), torch.Size([sum(machine.sizes)]), validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> RBM:
        """The same distribution with this batch shape."""
        return RBM(self.machine, torch.Size(batch_shape))

    def log_normalizer(self) -> LogNormalizer:
        """log Z, its standard error, and the side on which it lies."""
        return self.machine.log_normalizer()

    @property
    def log_z(self) -> Tensor | float:
        """log Z, 0-d: as the chains follow it in training mode, found anew in evaluation mode, in nats."""
        if self.machine.training:
            return self.machine.tracked()
        if get_proxy_mode() is not None:
            raise RuntimeError("log Z of an RBM in evaluation mode is found outside of a graph; put it into training mode")
        value = self.machine.log_normalizer().value
        if not torch.is_grad_enabled():
            return value
        followed = self.machine.tracked()  # whose gradient is that of log Z, whatever its value
        return value + (followed - followed.detach())

    def score(self, value: Tensor) -> Tensor:
        """log p(z) + log Z, a'u + b'v + u'W v, of bits or soft ones, (*batch_shape, n + m) to (*batch_shape), in nats."""
        return self.machine.score(*value.split(self.machine.sizes, -1))

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(z), (*batch_shape), in nats."""
        scores = self.score(value) - self.log_z
        return scores.expand(torch.broadcast_shapes(scores.shape, self.batch_shape))

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Gibbs samples, (*sample_shape, *batch_shape, n + m)."""
        machine, shape = self.machine, torch.Size(sample_shape) + self.batch_shape
        chosen = torch.randint(len(machine.chains), (shape.numel(),), device=machine.chains.device)
        u = machine.sweep(machine.chains[chosen], 10 * machine.num_sweeps)
        v = torch.bernoulli((machine.b + u @ machine.weight).sigmoid())
        return torch.cat([u, v], -1).reshape(*shape, -1)

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        """Whether the machine has few enough bits, 12, for all their values to be written down."""
        return sum(self.machine.sizes) <= MAX_LISTED

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All 2^(n + m) values, (2^(n + m), *batch_shape, n + m), or with ones for the batch."""
        bits = sum(self.machine.sizes)
        numbers = torch.arange(2**bits, device=self.machine.chains.device).unsqueeze(-1)
        values = (numbers & 2 ** torch.arange(bits, device=numbers.device)).bool().to(self.machine.weight.dtype)
        values = values.reshape(len(values), *[1] * len(self.batch_shape), bits)
        return values.expand(-1, *self.batch_shape, -1) if expand else values

    def next_state(self, value: Tensor) -> dict[Tensor, Tensor]:
        """Where the chains go in this step of training."""
        return self.machine.next_state()


@register_kl(Independent, RBM)
def _kl_independent_rbm(q: Any, p: RBM) -> Tensor:
    """KL(q || p) of independent bits q: -H(q) - a'q_u - b'q_v - q_u'W q_v + log Z, in nats."""
    bits = getattr(q.base_dist, "base", q.base_dist)  # those that are relaxed
    if not isinstance(bits, Bernoulli) or q.reinterpreted_batch_ndims != 1:
        raise NotImplementedError(f"KL of {type(q.base_dist).__name__} from an RBM")
    cross: Tensor = p.log_prob(bits.mean)
    return -bits.entropy().sum(-1) - cross
