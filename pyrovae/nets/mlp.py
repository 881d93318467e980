"""Dense networks on the last axes: any leading axes (particles, data, enumerated values) pass through unchanged."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from pyrovae.nets.counts import as_float
from pyrovae.registry import Registry

__all__ = ["ACTIVATIONS", "MIN_SCALE", "BranchedMLP", "JointMLP", "MLP", "MLPDecoder", "MLPEncoder", "loc_and_scale"]


MIN_SCALE = 1e-3


ACTIVATIONS: Registry[type[nn.Module]] = Registry(
    "activation",
    {
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        "relu": nn.ReLU,
        "elu": nn.ELU,
        "softplus": nn.Softplus,
        "silu": nn.SiLU,
        "gelu": nn.GELU,
    },
)


def _hidden(before: int, after: int, activation: str) -> list[nn.Module]:
    """A hidden layer; with "gated", (W h + b) * sigmoid(V h + c) (Dauphin et al. 2017, Eq. 1)."""
    if activation == "gated":
        return [nn.Linear(before, 2 * after), nn.GLU()]
    return [nn.Linear(before, after), ACTIVATIONS[activation]()]


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
            layers += _hidden(before, after, activation)
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
        """The output of the module, of the shape that its class states."""
        first, *rest = self
        weights = first.weight.split([math.prod(shape) for shape in self.shapes], 1)
        parts = zip(inputs, self.shapes, weights, strict=True)
        h = first.bias + sum(linear(as_float(u).flatten(-len(shape)), weight) for u, shape, weight in parts)
        for layer in rest:
            h = layer(h)
        return h


class BranchedMLP(nn.Module):
    """Several inputs, each through a hidden layer of its own, then all through the others: leading axes broadcast.

    Unlike a :class:`JointMLP` it bends each input before it adds them; what x needs is computed once per datum alike.

    Args:
        inputs: of each input, n or the shape.
        hidden: size of each input's own layer, then sizes of the joint ones.

    >>> BranchedMLP([(2, 2), 2], [8, 8], 4)(torch.zeros(5, 7, 2, 2), torch.zeros(6, 1, 1, 2)).shape
    torch.Size([6, 5, 7, 4])
    """

    def __init__(
        self, inputs: Sequence[int | Sequence[int]], hidden: Sequence[int], out_features: int, activation: str = "tanh"
    ) -> None:
        super().__init__()
        self.shapes = [(size,) if isinstance(size, int) else tuple(size) for size in inputs]
        self.branches = nn.ModuleList(
            _glorot(nn.Sequential(*_hidden(math.prod(shape), hidden[0], activation))) for shape in self.shapes
        )
        self.joint = JointMLP([hidden[0]] * len(inputs), hidden[1:], out_features, activation)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        parts = zip(self.branches, inputs, self.shapes, strict=True)
        return self.joint(*[branch(as_float(u).flatten(-len(shape))) for branch, u, shape in parts])


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
        """The output of the module, of the shape that its class states."""
        return self.mlp(x, *others) if others else self.mlp(as_float(x).flatten(-len(self.shape)))


class MLPDecoder(nn.Module):
    """z, (..., d), or several inputs, to the parameters of a likelihood, (..., P, *shape).

    Several inputs go through a :class:`JointMLP`, or with ``branched`` through a :class:`BranchedMLP`.
    """

    def __init__(
        self,
        latent_dim: int | Sequence[int | Sequence[int]],
        hidden: Sequence[int],
        shape: Sequence[int],
        num_params: int = 1,
        activation: str = "tanh",
        branched: bool = False,
    ) -> None:
        super().__init__()
        self.shape = (num_params, *shape)
        make = MLP if isinstance(latent_dim, int) else BranchedMLP if branched else JointMLP
        self.mlp = make(latent_dim, hidden, math.prod(self.shape), activation)  # type: ignore[arg-type]

    @torch.no_grad()
    def start_at(self, h: Tensor) -> None:
        """Give outputs around h, (P, *shape), whatever z, until trained."""
        last = self.mlp.joint if isinstance(self.mlp, BranchedMLP) else self.mlp
        last[-1].bias.copy_(h.flatten())

    def forward(self, *z: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        return self.mlp(*z).unflatten(-1, self.shape)
