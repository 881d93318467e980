"""What Pyro lacks: laws of pixels with finitely many levels, the named energy of grey pixels, a KL of two Gaussians."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.kl import register_kl
from torch.distributions.utils import broadcast_all
from torch.nn.functional import logsigmoid

from pyrovae.errors import ContractError

__all__ = ["DiscretizedLogistic", "Flat", "GreyBernoulli", "LevelsCategorical", "is_density", "is_point", "masked"]


class _Levels(constraints.Constraint):
    """The grid {0, 1/(levels-1), ..., 1}."""

    is_discrete = True

    def __init__(self, levels: int) -> None:
        self.levels = levels

    def check(self, value: Tensor) -> Tensor:
        index = value * (self.levels - 1)
        return (value >= 0) & (value <= 1) & ((index - index.round()).abs() < 1e-2)

    def __repr__(self) -> str:
        return f"levels k/{self.levels - 1}"


class DiscretizedLogistic(TorchDistribution):
    """P(x = k/(L-1)) = F((x + h - loc)/scale) - F((x - h - loc)/scale), F the logistic cdf, h = 1/(2(L-1)).

    The lowest level takes all mass below it, the highest all mass above. Computed without cancellation by
    F(b) - F(a) = F(b) F(-a) (1 - exp(a - b)).

    Args:
        loc, scale: of the logistic, on the scale of x in [0, 1]; any common batch shape.
        levels: L, 256 for bytes.

    References: Kingma et al., Improved Variational Inference with Inverse Autoregressive Flow, 2016;
    Salimans et al., PixelCNN++, 2017, Section 2.1.

    >>> d = DiscretizedLogistic(torch.tensor(0.3), torch.tensor(0.1), levels=4)
    >>> round(float(d.log_prob(torch.arange(4) / 3).exp().sum()), 6)
    1.0
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(self, loc: Tensor, scale: Tensor, levels: int = 256, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        self.levels = levels
        super().__init__(self.loc.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        return _Levels(self.levels)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> DiscretizedLogistic:
        new = self._get_checked_instance(DiscretizedLogistic, _instance)
        new.loc, new.scale, new.levels = self.loc.expand(batch_shape), self.scale.expand(batch_shape), self.levels
        super(DiscretizedLogistic, new).__init__(batch_shape, validate_args=False)
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        half = 0.5 / (self.levels - 1)
        upper = (value + half - self.loc) / self.scale
        lower = (value - half - self.loc) / self.scale
        width = torch.log(-torch.expm1(-2 * half / self.scale))
        below, above = logsigmoid(upper), logsigmoid(-lower)
        return torch.where(value <= half, below, torch.where(value >= 1 - half, above, below + above + width))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            uniform = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device).clamp(1e-7, 1 - 1e-7)
            value = self.loc + self.scale * torch.logit(uniform)
            return (value.clamp(0, 1) * (self.levels - 1)).round() / (self.levels - 1)

    @property
    def mean(self) -> Tensor:
        """E[x] = 1/(L-1) sum_{k=1}^{L-1} P(x >= k/(L-1))."""
        edges = [(k - 0.5) / (self.levels - 1) for k in range(1, self.levels)]
        return sum(torch.sigmoid((self.loc - edge) / self.scale) for edge in edges) / (self.levels - 1)


class LevelsCategorical(TorchDistribution):
    """P(x = k/(L-1)) = softmax(logits)_k: one free probability for each of L levels of a pixel.

    Args:
        logits: (..., L).

    References: van den Oord, Kalchbrenner and Kavukcuoglu, Pixel Recurrent Neural Networks, 2016, Section 2.2.

    >>> LevelsCategorical(torch.zeros(2, 4)).log_prob(torch.tensor([0.0, 1.0])).exp()
    tensor([0.2500, 0.2500])
    """

    arg_constraints = {"logits": constraints.independent(constraints.real, 1)}

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        self.logits = logits.log_softmax(-1)
        self.levels = logits.shape[-1]
        super().__init__(logits.shape[:-1], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        return _Levels(self.levels)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> LevelsCategorical:
        new = self._get_checked_instance(LevelsCategorical, _instance)
        new.logits, new.levels = self.logits.expand(*batch_shape, self.levels), self.levels
        super(LevelsCategorical, new).__init__(batch_shape, validate_args=False)
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        index = (value * (self.levels - 1)).round().long()
        shape = torch.broadcast_shapes(index.shape, self.logits.shape[:-1])
        logits = self.logits.expand(*shape, self.levels)
        return logits.gather(-1, index.expand(shape).unsqueeze(-1)).squeeze(-1)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        with torch.no_grad():
            return dist.Categorical(logits=self.logits).sample(sample_shape).to(self.logits.dtype) / (self.levels - 1)

    @property
    def mean(self) -> Tensor:
        grid = torch.arange(self.levels, dtype=self.logits.dtype, device=self.logits.device) / (self.levels - 1)
        return (self.logits.exp() * grid).sum(-1)


class GreyBernoulli(dist.Bernoulli):
    """x log p + (1 - x) log(1 - p) for grey x in [0, 1]: an energy, **not** a density, since it has no normalizer.

    It trains, and is what many published "Bernoulli" figures on grey pixels used; estimators of log p(x) refuse it.
    """

    is_density = False
    support = constraints.unit_interval

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        super().__init__(logits=logits, validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> GreyBernoulli:
        return GreyBernoulli(self.logits.expand(batch_shape), validate_args=False)


class Flat(TorchDistribution):
    """log p(z) = 0 for all z in R^d: **no** prior, as of a deterministic autoencoder; nothing can be drawn from it.

    Args:
        like: a tensor of z's shape, (d,).

    >>> Flat(torch.zeros(2)).log_prob(torch.randn(5, 3, 2)).shape
    torch.Size([5, 3])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real_vector
    is_density = False

    def __init__(self, like: Tensor) -> None:
        super().__init__(torch.Size(), like.shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> Flat:
        new = self._get_checked_instance(Flat, _instance)
        super(Flat, new).__init__(torch.Size(batch_shape), self.event_shape, validate_args=False)
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        return value.new_zeros(torch.broadcast_shapes(value.shape[:-1], self.batch_shape))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        raise ContractError(
            "the model has no prior of its latent site (a deterministic autoencoder), so nothing can be drawn from it: "
            "reconstruct data or interpolate between them, or build the pair with relax=0.1, which gives it the prior N(0, I)."
        )


@register_kl(torch.distributions.MultivariateNormal, torch.distributions.Independent)
def _kl_multivariate_factorized(q: torch.distributions.MultivariateNormal, p: torch.distributions.Independent) -> Tensor:
    """KL(N(m, S) || N(a, diag s^2)) = 1/2 sum_i [(S_ii + (m_i - a_i)^2) / s_i^2 - 1 + log s_i^2] - 1/2 log |S|.

    Torch and Pyro have only the other direction.
    """
    normal = p.base_dist
    if not isinstance(normal, torch.distributions.Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    log_det = 2 * q._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    fit = (q.variance + (q.mean - normal.mean).square()) / normal.variance - 1 + normal.variance.log()
    return 0.5 * (fit.sum(-1) - log_det)


def is_density(fn: TorchDistribution) -> bool:
    """Whether a distribution's ``log_prob`` is the logarithm of a density or mass; that of a point (``Delta``) is not.

    >>> is_density(GreyBernoulli(torch.zeros(3)).to_event(1)), is_density(dist.Normal(0, 1))
    (False, True)
    """
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return getattr(fn, "is_density", not is_point(fn))


def is_point(fn: TorchDistribution) -> bool:
    """Whether all mass is at one point, as that of a deterministic encoder.

    >>> is_point(dist.Delta(torch.zeros(3)).to_event(1))
    True
    """
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return isinstance(fn, dist.Delta)


def masked(fn: TorchDistribution, mask: Tensor) -> TorchDistribution:
    """The law of a datum of independent values, scored only where ``mask`` is true: log p(x_observed).

    Args:
        fn: a product over the dimensions of its event, made with ``to_event``.
        mask: (B, *event).

    >>> law = dist.Normal(torch.zeros(2, 3), 1.0).to_event(1)
    >>> masked(law, torch.tensor([[True, False, True], [False] * 3])).log_prob(torch.zeros(2, 3))
    tensor([-1.8379,  0.0000])
    """
    if not isinstance(fn, torch.distributions.Independent) or fn.base_dist.event_shape:
        raise ContractError(
            f"a mask needs a law that is a product over the values of a datum, made with .to_event; {fn} is none."
        )
    return fn.base_dist.mask(mask.bool()).to_event(fn.reinterpreted_batch_ndims)
