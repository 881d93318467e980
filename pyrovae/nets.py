"""Networks on the last axes: any leading axes (particles, data, enumerated values) pass through unchanged."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from pyrovae.errors import OptionError, nearest

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "ConvDecoder",
    "ConvEncoder",
    "JointMLP",
    "LinearGaussianLaw",
    "MLPDecoder",
    "MLPEncoder",
    "loc_and_scale",
]

MIN_SCALE = 1e-3

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "softplus": nn.Softplus,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}


def _activation(name: str) -> nn.Module:
    if name not in ACTIVATIONS:
        raise nearest("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()


def _glorot(module: nn.Module) -> nn.Module:
    """Weights uniform on +-sqrt(6 / (fan_in + fan_out)), biases zero (Glorot and Bengio 2010, Eq. 16)."""
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return module


def loc_and_scale(features: Tensor) -> tuple[Tensor, Tensor]:
    """Features, (..., 2d), to a mean, (..., d), and a scale above 0.001 that grows no faster than they do.

    For Gaussians whose networks see draws of other Gaussians, where an exponential of an exponential would overflow.
    """
    loc, raw = features.chunk(2, -1)
    return loc, softplus(raw) + MIN_SCALE


class MLP(nn.Sequential):
    """(..., in) -> (..., out) through hidden layers of the given sizes.

    >>> MLP(3, [8, 8], 2)(torch.zeros(5, 7, 3)).shape
    torch.Size([5, 7, 2])
    """

    def __init__(self, in_features: int, hidden: Sequence[int], out_features: int, activation: str = "tanh") -> None:
        sizes = [in_features, *hidden]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), _activation(activation)]
        super().__init__(*layers, nn.Linear(sizes[-1], out_features))
        _glorot(self)


class JointMLP(MLP):
    """An MLP of the concatenation of several inputs, vectors (..., n) or images (..., *shape), whose leading axes broadcast.

    The first layer adds one product per input, so that x, once per datum, is not multiplied anew for each class or particle.

    Args:
        inputs: of each input, n or the shape.

    >>> JointMLP([(2, 2), 2], [8], 4)(torch.zeros(5, 7, 2, 2), torch.zeros(6, 1, 1, 2)).shape
    torch.Size([6, 5, 7, 4])
    """

    def __init__(
        self, inputs: Sequence[int | Sequence[int]], hidden: Sequence[int], out_features: int, activation: str = "tanh"
    ) -> None:
        shapes = [(size,) if isinstance(size, int) else tuple(size) for size in inputs]
        super().__init__(sum(map(math.prod, shapes)), hidden, out_features, activation)
        self.shapes = shapes

    def forward(self, *inputs: Tensor) -> Tensor:
        first, *rest = self
        weights = first.weight.split([math.prod(shape) for shape in self.shapes], 1)
        parts = zip(inputs, self.shapes, weights, strict=True)
        h = first.bias + sum(linear(u.flatten(-len(shape)), weight) for u, shape, weight in parts)
        for layer in rest:
            h = layer(h)
        return h


class MLPEncoder(nn.Module):
    """x, (..., *shape), and inputs of other sizes or shapes, to features, (..., out)."""

    def __init__(
        self,
        shape: Sequence[int],
        hidden: Sequence[int],
        out_features: int,
        activation: str = "tanh",
        others: Sequence[int | Sequence[int]] = (),
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.mlp = (
            JointMLP([self.shape, *others], hidden, out_features, activation)
            if others
            else MLP(math.prod(shape), hidden, out_features, activation)
        )

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        return self.mlp(x, *others) if others else self.mlp(x.flatten(-len(self.shape)))


class MLPDecoder(nn.Module):
    """z, (..., d), or several inputs, to the parameters of a likelihood, (..., P, *shape)."""

    def __init__(
        self,
        latent_dim: int | Sequence[int | Sequence[int]],
        hidden: Sequence[int],
        shape: Sequence[int],
        num_params: int = 1,
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        self.shape = (num_params, *shape)
        make = MLP if isinstance(latent_dim, int) else JointMLP
        self.mlp = make(latent_dim, hidden, math.prod(self.shape), activation)  # type: ignore[arg-type]

    @torch.no_grad()
    def start_at(self, h: Tensor) -> None:
        """Give outputs around h, (P, *shape), whatever z, until trained."""
        self.mlp[-1].bias.copy_(h.flatten())

    def forward(self, *z: Tensor) -> Tensor:
        return self.mlp(*z).unflatten(-1, self.shape)


def _image(shape: Sequence[int], num_layers: int) -> tuple[int, list[tuple[int, int]]]:
    """Channels, and the (H, W) before, between and after layers of stride 2."""
    if len(shape) not in (2, 3):
        raise OptionError(f"convolutional networks need images, (H, W) or (C, H, W); the data's shape is {tuple(shape)}.")
    channels = shape[0] if len(shape) == 3 else 1
    sizes = [(int(shape[-2]), int(shape[-1]))]
    for _ in range(num_layers):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return channels, sizes


class ConvEncoder(nn.Module):
    """Image x, (..., H, W) or (..., C, H, W), to features, (..., out): 3x3 convolutions of stride 2, then one dense layer."""

    def __init__(
        self, shape: Sequence[int], channels: Sequence[int], hidden: int, out_features: int, activation: str = "relu"
    ) -> None:
        super().__init__()
        in_channels, sizes = _image(shape, len(channels))
        self.shape = (in_channels, *sizes[0])
        self.event_dim = len(shape)
        widths = [in_channels, *channels]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), _activation(activation)]
        features = widths[-1] * sizes[-1][0] * sizes[-1][1]
        dense = MLP(features, [hidden], out_features, activation)
        self.layers = _glorot(nn.Sequential(*layers, nn.Flatten(), dense))

    def forward(self, x: Tensor) -> Tensor:
        lead = x.shape[: x.dim() - self.event_dim]
        return self.layers(x.reshape(-1, *self.shape)).unflatten(0, lead)


class ConvDecoder(nn.Module):
    """z, (..., d), to the parameters of a likelihood, (..., P, *shape): the mirror of :class:`ConvEncoder`, for any size."""

    def __init__(
        self,
        latent_dim: int,
        channels: Sequence[int],
        hidden: int,
        shape: Sequence[int],
        num_params: int = 1,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        out_channels, sizes = _image(shape, len(channels))
        self.shape = (num_params, *shape)
        widths = [*reversed(channels), num_params * out_channels]
        start = (widths[0], *sizes[-1])
        layers: list[nn.Module] = [
            MLP(latent_dim, [hidden], math.prod(start), activation),
            _activation(activation),
            nn.Unflatten(1, start),
        ]
        for i, (before, after) in enumerate(itertools.pairwise(widths)):
            (height, width), target = sizes[-1 - i], sizes[-2 - i]
            extra = (target[0] - (2 * height - 1), target[1] - (2 * width - 1))
            layers += [
                nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=extra),
                _activation(activation),
            ]
        self.layers = _glorot(nn.Sequential(*layers[:-1]))

    @torch.no_grad()
    def start_at(self, h: Tensor) -> None:
        """Give outputs around the means over pixels of h, (P, *shape), whatever z, until trained."""
        self.layers[-1].bias.copy_(h.reshape(len(self.layers[-1].bias), -1).mean(1))

    def forward(self, z: Tensor) -> Tensor:
        lead = z.shape[:-1]
        return self.layers(z.reshape(-1, z.shape[-1])).reshape(*lead, *self.shape)


class LinearGaussianLaw(nn.Module):
    """z ~ N(0, I_d), x | z ~ N(W z + m, Psi), with every consequence in closed form.

    W is (D, d), m is (D,), Psi = s^2 I (probabilistic PCA) or a free diagonal (factor analysis). One such module is given
    to both programs of a linear-Gaussian pair, so that its parameters count once.

    References: Tipping and Bishop, Probabilistic Principal Component Analysis, 1999, Eq. (2) and (6).
    """

    def __init__(self, latent_dim: int, data_dim: int, noise: str = "shared") -> None:
        super().__init__()
        if noise not in ("shared", "diagonal"):
            raise OptionError(f"noise is {noise!r}; expected 'shared' (probabilistic PCA) or 'diagonal' (factor analysis).")
        self.weight = nn.Parameter(torch.randn(data_dim, latent_dim) / latent_dim**0.5)
        self.loc = nn.Parameter(torch.zeros(data_dim))
        self.log_scale = nn.Parameter(torch.zeros(() if noise == "shared" else (data_dim,)))

    @property
    def scale(self) -> Tensor:
        """Psi^(1/2)'s diagonal, (D,)."""
        return self.log_scale.exp().expand(self.loc.shape)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (..., d) and Cholesky factor (d, d) of p(z | x) = N(M^-1 W' Psi^-1 (x - m), M^-1), M = I + W' Psi^-1 W."""
        scaled = self.weight / self.scale.square().unsqueeze(-1)
        precision = torch.eye(self.weight.shape[1], dtype=x.dtype, device=x.device) + self.weight.T @ scaled
        covariance = torch.cholesky_inverse(torch.linalg.cholesky(precision))
        return (x - self.loc) @ scaled @ covariance, torch.linalg.cholesky(covariance)

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x) = log N(x; m, W W' + Psi), (...,), exact, in nats."""
        variance = self.scale.square()
        return torch.distributions.LowRankMultivariateNormal(self.loc, self.weight, variance).log_prob(x)
