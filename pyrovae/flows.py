"""Normalizing flows: z = T_n(... T_1(z0)), and the law of z, by Pyro's and Zuko's transforms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from pyro.distributions.transforms.affine_autoregressive import ConditionalAffineAutoregressive
from pyro.distributions.transforms.householder import ConditionedHouseholder
from pyro.distributions.transforms.planar import ConditionedPlanar
from pyro.distributions.transforms.radial import ConditionedRadial
from pyro.nn import ConditionalAutoRegressiveNN
from torch import Tensor, nn
from torch.distributions import Transform, constraints
from zuko.flows.autoregressive import MaskedAutoregressiveTransform
from zuko.transforms import MonotonicRQSTransform

from pyrovae.errors import OptionError, nearest

__all__ = ["FLOWS", "IAF", "Flow", "FlowDistribution", "Planar", "Radial", "Spline", "Sylvester", "build"]


# ------------------------------------------------------------------------------------------------ the law
class FlowDistribution(TorchDistribution):
    """log q(z) = log q_0(z0) - sum_i log |det dT_i / dz_i-1|, z = T_n(... T_1(z0)), exact, in nats.

    A draw is scored by the determinants on its way, with the full gradient. Any other value is scored by inverse transforms,
    where all have one; else NotImplementedError. (Torch's TransformedDistribution would take a value that it has inverted
    before from the transforms' caches, with the graph of that time.)

    Args:
        base: q_0, over vectors, (..., d).
        transforms: T_1, ..., T_n, whose parameters broadcast with (..., d).

    References: Rezende and Mohamed, Variational Inference with Normalizing Flows, 2015, Section 3.

    >>> import pyro.distributions as dist
    >>> flow = Planar(2, num_flows=3, amortized=False)
    >>> q = FlowDistribution(dist.Normal(torch.zeros(5, 2), 1.0).to_event(1), flow.transforms(torch.zeros(5, 0)))
    >>> q.log_prob(q.rsample()).shape
    torch.Size([5])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, base: TorchDistribution, transforms: Iterable[Transform], validate_args: bool | None = None) -> None:
        self.base, self.transforms = base, list(transforms)
        self._drawn: tuple[Tensor, Tensor, bool] | None = None
        super().__init__(base.batch_shape, base.event_shape, validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> FlowDistribution:
        return FlowDistribution(self.base.expand(batch_shape), self.transforms, validate_args=False)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        z = self.base.rsample(sample_shape)
        log_prob = self.base.log_prob(z)
        for transform in self.transforms:
            z, log_det = transform.call_and_ladj(z)  # which Zuko gives to all transforms of torch
            log_prob = log_prob - log_det
        self._drawn = z, log_prob, torch.is_grad_enabled()
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        if self._drawn is not None:
            drawn, log_prob, has_graph = self._drawn
            if value is drawn and (has_graph or not torch.is_grad_enabled()):
                return log_prob
        total: Tensor | float = 0.0
        for transform in reversed(self.transforms):
            value = self._inverse(transform, value)
            total = total - transform.call_and_ladj(value)[1]
        return self.base.log_prob(value) + total

    @staticmethod
    def _inverse(transform: Transform, value: Tensor) -> Tensor:
        try:
            return transform._inverse(value)  # not transform.inv(value), which would remember it
        except (KeyError, NotImplementedError):  # Pyro's transforms raise the former
            raise NotImplementedError(
                f"a flow of {type(transform).__name__} transforms has no inverse, so it scores only draws of its own"
            ) from None


class SylvesterTransform(Transform):
    """y = x + Q R tanh(S Q' x + b): log |det| = sum_i log(1 + tanh'(.)_i R_ii S_ii).

    Q is a product of Householder reflections, Pyro's; R and S are upper triangular. (Pyro's own Sylvester lacks the
    transposes of R and S, whereby its determinant is that of another map: off by 0.8 nats for N(0, 1) parameters at d = 4.)

    Args:
        vectors: the reflections' normals, (..., H, d), of any length.
        r, s: (..., d, d), with diagonals in (-1, 1); b: (..., d).

    References: van den Berg, Hasenclever, Tomczak and Welling, Sylvester Normalizing Flows for Variational Inference, 2018.
    """

    domain = codomain = constraints.real_vector
    bijective = True

    def __init__(self, vectors: Tensor, r: Tensor, s: Tensor, b: Tensor) -> None:
        super().__init__()
        self.rotation, self.r, self.s, self.b = ConditionedHouseholder(vectors), r, s, b

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y, and log |det dy/dx|."""
        h = torch.tanh((self.s @ self.rotation.inv(x).unsqueeze(-1)).squeeze(-1) + self.b)
        y = x + self.rotation((self.r @ h.unsqueeze(-1)).squeeze(-1))
        slope = self.r.diagonal(dim1=-2, dim2=-1) * self.s.diagonal(dim1=-2, dim2=-1)
        return y, torch.log1p((1 - h.square()) * slope).sum(-1)

    def _call(self, x: Tensor) -> Tensor:
        return self.call_and_ladj(x)[0]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.call_and_ladj(x)[1]


# ------------------------------------------------------------------------------------------------ families
class Flow(nn.Module):
    """A family of flows: ``transforms(features)`` are T_1, ..., T_n for data whose encoder gives those features.

    Attributes:
        num_features: how many features of a datum it takes; 0 where all data share the transforms.
    """

    num_features: int = 0

    def transforms(self, features: Tensor) -> list[Transform]:
        """T_1, ..., T_n given features, (..., num_features). New objects at each call: they keep what they computed."""
        raise NotImplementedError("a flow defines transforms(features)")


class _Closed(Flow):
    """A flow whose transforms have a few vectors as parameters: its own, plus what the features say where amortized."""

    def __init__(self, latent_dim: int, num_flows: int, sizes: Sequence[int], amortized: bool) -> None:
        super().__init__()
        self.latent_dim, self.sizes, self.amortized = latent_dim, tuple(sizes), amortized
        # never all zero, where a planar transform would divide by the length of its normal
        self.own = nn.Parameter(torch.empty(num_flows, sum(sizes)).uniform_(-1, 1) / latent_dim**0.5)
        self.num_features = self.own.numel() if amortized else 0

    def transforms(self, features: Tensor) -> list[Transform]:
        parameters = self.own + features.unflatten(-1, self.own.shape) if self.amortized else self.own
        return [self.transform(*each.split(self.sizes, -1)) for each in parameters.unbind(-2)]

    def transform(self, *parameters: Tensor) -> Transform:
        """T of its parameters, (..., size) each."""
        raise NotImplementedError("a flow defines transform(*parameters)")


class Planar(_Closed):
    """T(z) = z + u tanh(w' z + b), n times; Pyro's. No inverse.

    Train it with ``fit(clip_norm=20)``: unclipped, eight of them diverged on MNIST (benchmarks/README.md).

    Args:
        latent_dim: d.
        num_flows: n.
        amortized: b, u and w of each datum by the encoder, as in the paper; else shared by all data.

    References: Rezende and Mohamed, Variational Inference with Normalizing Flows, 2015, Eq. (10) and (12).
    """

    def __init__(self, latent_dim: int, num_flows: int, amortized: bool = True) -> None:
        super().__init__(latent_dim, num_flows, (1, latent_dim, latent_dim), amortized)

    def transform(self, *parameters: Tensor) -> Transform:
        return ConditionedPlanar(parameters)


class Radial(_Closed):
    """T(z) = z + beta (z - c) / (alpha + |z - c|), n times; Pyro's. No inverse.

    Args:
        latent_dim: d.
        num_flows: n.
        amortized: c, alpha and beta of each datum by the encoder, as in the paper; else shared by all data.

    References: Rezende and Mohamed, Variational Inference with Normalizing Flows, 2015, Eq. (14).
    """

    def __init__(self, latent_dim: int, num_flows: int, amortized: bool = True) -> None:
        super().__init__(latent_dim, num_flows, (latent_dim, 1, 1), amortized)

    def transform(self, *parameters: Tensor) -> Transform:
        return ConditionedRadial(parameters)


class Sylvester(_Closed):
    """T(z) = z + Q R tanh(S Q' z + b), n times, Q a product of H Householder reflections, R and S triangular. No inverse.

    Args:
        latent_dim: d.
        num_flows: n.
        num_reflections: H, at most d.
        amortized: all parameters of each datum by the encoder, d (d + 3 + H) for each transform, as in the paper (H-SNF);
            else shared by all data.

    References: van den Berg, Hasenclever, Tomczak and Welling, Sylvester Normalizing Flows for Variational Inference, 2018.
    """

    def __init__(self, latent_dim: int, num_flows: int, num_reflections: int = 8, amortized: bool = True) -> None:
        self.num_reflections = min(num_reflections, latent_dim)
        sizes = (latent_dim**2, latent_dim, latent_dim, latent_dim, self.num_reflections * latent_dim)
        super().__init__(latent_dim, num_flows, sizes, amortized)

    def transform(self, *parameters: Tensor) -> Transform:
        entries, r, s, b, vectors = parameters
        entries = entries.unflatten(-1, (self.latent_dim, self.latent_dim))  # above the diagonal R, below it S'
        r = entries.triu(1) + torch.diag_embed(r.tanh())
        s = entries.tril(-1).mT + torch.diag_embed(s.tanh())
        return SylvesterTransform(vectors.unflatten(-1, (self.num_reflections, self.latent_dim)), r, s, b)


def _orders(latent_dim: int, num_flows: int) -> list[Tensor]:
    """The order of the dimensions, reversed from one transform to the next."""
    if latent_dim < 2:
        raise OptionError(f"latent_dim is {latent_dim}; an autoregressive flow needs at least 2 dimensions.")
    return [torch.arange(latent_dim) if i % 2 == 0 else torch.arange(latent_dim).flip(0) for i in range(num_flows)]


class IAF(Flow):
    """T(z)_i = s_i z_i + (1 - s_i) m_i, s = sigmoid(.), m and s_i functions of z_1, ..., z_i-1, n times; Pyro's.

    Drawn in one pass; a value that is no draw of its own is inverted dimension by dimension, in d passes.

    Args:
        latent_dim: d, at least 2.
        num_flows: n; the order of the dimensions is reversed from one to the next.
        hidden: sizes of the hidden layers of the masked networks, at least d.
        context_dim: size of the context h of a datum that the encoder gives to every masked network, as in the paper; 0 for
            transforms that all data share.

    References: Kingma et al., Improved Variational Inference with Inverse Autoregressive Flow, 2016, Eq. (13) and (14).
    """

    def __init__(self, latent_dim: int, num_flows: int, hidden: Sequence[int] = (320,), context_dim: int = 100) -> None:
        super().__init__()
        if any(size < latent_dim for size in hidden):
            raise OptionError(f"flow_hidden is {list(hidden)}; masked layers need at least latent_dim = {latent_dim} units.")
        self.num_features = context_dim
        self.networks = nn.ModuleList(
            ConditionalAutoRegressiveNN(latent_dim, context_dim, list(hidden), permutation=order, nonlinearity=nn.ELU())
            for order in _orders(latent_dim, num_flows)
        )

    def transforms(self, features: Tensor) -> list[Transform]:
        return [ConditionalAffineAutoregressive(net, stable=True).condition(features) for net in self.networks]


class Spline(Flow):
    """T(z)_i = monotone rational-quadratic spline on [-5, 5] with knots that are functions of z_1, ..., z_i-1; Zuko's.

    The identity outside. Drawn in one pass; a value that is no draw of its own is inverted in d passes.

    Args:
        latent_dim: d, at least 2.
        num_flows: n; the order of the dimensions is reversed from one to the next.
        hidden: sizes of the hidden layers of the masked networks.
        bins: between knots.
        context_dim: size of the context of a datum that the encoder gives to every masked network; 0 for transforms that
            all data share.

    References: Durkan, Bekasov, Murray and Papamakarios, Neural Spline Flows, 2019 (RQ-NSF (AR), drawn in the fast direction).
    """

    def __init__(
        self, latent_dim: int, num_flows: int, hidden: Sequence[int] = (320,), bins: int = 8, context_dim: int = 100
    ) -> None:
        super().__init__()
        self.num_features = context_dim
        self.steps = nn.ModuleList(
            MaskedAutoregressiveTransform(
                latent_dim,
                context_dim,
                order=order,
                univariate=MonotonicRQSTransform,
                shapes=[(bins,), (bins,), (bins - 1,)],
                hidden_features=list(hidden),
                activation=nn.ELU,
            )
            for order in _orders(latent_dim, num_flows)
        )

    def transforms(self, features: Tensor) -> list[Transform]:
        return [step(features if self.num_features else None) for step in self.steps]


FLOWS: dict[str, type[Flow]] = {"planar": Planar, "radial": Radial, "iaf": IAF, "sylvester": Sylvester, "spline": Spline}


def build(
    name: str,
    latent_dim: int,
    num_flows: int,
    amortized: bool = True,
    hidden: Sequence[int] = (320,),
    context_dim: int = 100,
    bins: int = 8,
    num_reflections: int = 8,
) -> Flow:
    """The flow of a name from the options of them all; each takes those that it has.

    >>> build("iaf", latent_dim=3, num_flows=2, hidden=[8], context_dim=5).num_features
    5
    """
    if name not in FLOWS:
        raise nearest("flow", name, FLOWS)
    counts = {"num_flows": num_flows, "context_dim": context_dim, "bins": bins, "num_reflections": num_reflections}
    for option, value in counts.items():
        if value < 1:
            raise OptionError(f"{option} is {value}; expected a whole number of at least 1.")
    if name in ("planar", "radial"):
        return FLOWS[name](latent_dim, num_flows, amortized)  # type: ignore[call-arg]
    if name == "sylvester":
        return Sylvester(latent_dim, num_flows, num_reflections, amortized)
    context_dim = context_dim if amortized else 0
    if name == "iaf":
        return IAF(latent_dim, num_flows, hidden, context_dim)
    return Spline(latent_dim, num_flows, hidden, bins, context_dim)
