"""Flows whose transforms have a few vectors as parameters: planar, radial, Sylvester."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pyro.distributions.transforms.householder import ConditionedHouseholder
from pyro.distributions.transforms.planar import ConditionedPlanar
from pyro.distributions.transforms.radial import ConditionedRadial
from torch import Tensor, nn
from torch.distributions import Transform, constraints

from pyrovae.errors import OptionError

__all__ = ["Flow", "Planar", "Radial", "Sylvester", "require_positive"]


def require_positive(**counts: int) -> None:
    """OptionError for an option that is below 1."""
    for option, value in counts.items():
        if value < 1:
            raise OptionError(f"{option} is {value}; expected a whole number of at least 1.")


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


class Flow(nn.Module):
    """A family of flows: ``transforms(features)`` are T_1, ..., T_n for data whose encoder gives features, (..., F).

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
        require_positive(num_flows=num_flows)
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

    def __init__(self, latent_dim: int, num_flows: int = 4, amortized: bool = True) -> None:
        super().__init__(latent_dim, num_flows, (1, latent_dim, latent_dim), amortized)

    def transform(self, *parameters: Tensor) -> Transform:
        """T of its parameters, (..., size) each."""
        return ConditionedPlanar(parameters)


class Radial(_Closed):
    """T(z) = z + beta (z - c) / (alpha + |z - c|), n times; Pyro's. No inverse.

    Args:
        latent_dim: d.
        num_flows: n.
        amortized: c, alpha and beta of each datum by the encoder, as in the paper; else shared by all data.

    References: Rezende and Mohamed, Variational Inference with Normalizing Flows, 2015, Eq. (14).
    """

    def __init__(self, latent_dim: int, num_flows: int = 4, amortized: bool = True) -> None:
        super().__init__(latent_dim, num_flows, (latent_dim, 1, 1), amortized)

    def transform(self, *parameters: Tensor) -> Transform:
        """T of its parameters, (..., size) each."""
        return ConditionedRadial(parameters)


class Sylvester(_Closed):
    """T(z) = z + Q R tanh(S Q' z + b), n times, Q a product of H Householder reflections, R and S triangular. No inverse.

    Args:
        latent_dim: d.
        num_flows: n.
        amortized: all parameters of each datum by the encoder, d (d + 3 + H) for each transform, as in the paper (H-SNF);
            else shared by all data.
        num_reflections: H, at most d.

    References: van den Berg, Hasenclever, Tomczak and Welling, Sylvester Normalizing Flows for Variational Inference, 2018.
    """

    def __init__(self, latent_dim: int, num_flows: int = 4, amortized: bool = True, num_reflections: int = 8) -> None:
        require_positive(num_reflections=num_reflections)
        self.num_reflections = min(num_reflections, latent_dim)
        sizes = (latent_dim**2, latent_dim, latent_dim, latent_dim, self.num_reflections * latent_dim)
        super().__init__(latent_dim, num_flows, sizes, amortized)

    def transform(self, *parameters: Tensor) -> Transform:
        """T of its parameters, (..., size) each."""
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
