"""Encoders and decoders for data of a description, whose decoders start at the mean of the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from pyrovae.data import DataSpec
from pyrovae.distributions.likelihoods import Likelihood, Scale, build
from pyrovae.nets import (
    ACTIVATIONS,
    ConvDecoder,
    ConvEncoder,
    GridAbove,
    GridDecoder,
    GridEncoder,
    JointMLP,
    Log1p,
    MLPDecoder,
    MLPEncoder,
)
from pyrovae.parts.options import Options

__all__ = ["Activation", "Convolutional", "Dense", "Grid", "Networks", "Size"]

Activation = Literal[(*ACTIVATIONS, "gated")]  # type: ignore[valid-type]
Size = int | Sequence[int]


class Starting(Protocol):
    """A decoder that can be told where to start."""

    def start_at(self, h: Tensor) -> None: ...


D = TypeVar("D", bound=Starting)
N = TypeVar("N", bound="Networks")


@dataclass(frozen=True, kw_only=True)
class Networks(Options):
    """What every decoder has: a likelihood.

    Attributes:
        likelihood: distribution of x given the latents, by its name (`pyrovae list` has them), alone or with options, as in
            'negative-binomial:dispersion=predicted'; by default bernoulli for binary data, gaussian for grey levels and real
            data, continuous-bernoulli for other data in [0, 1], negative-binomial for counts.
        scale: of a gaussian, laplace, student-t or log-normal (a number, 'shared' or 'predicted') or discretized-logistic
            likelihood.
    """

    likelihood: str | None = None
    scale: Scale = "shared"

    def start(self, make: Callable[[int], D], usual: str | None = None) -> tuple[D, Likelihood]:
        """A decoder that starts at the mean of the training data, where the likelihood can tell how, and the likelihood.

        Args:
            make: from how many numbers the decoder must give for each value of x to the decoder.
            usual: the likelihood where none is chosen; None for the usual one of the kind of data.
        """
        spec = self.spec
        usual_scale = (self.defaults or self).values()["scale"]
        likelihood = build(self.likelihood or usual, spec.shape, spec.kind, spec.levels, self.scale, usual_scale)
        decoder = make(likelihood.num_params)
        h = None if spec.mean is None else likelihood.start(spec.mean)
        if h is not None:
            decoder.start_at(h)
        return decoder, likelihood

    def of_steps(self: N) -> N:
        """The same for one step of sequences, x (T, *shape), whose mean is that over steps and data."""
        spec = self.spec
        x = replace(spec.keys[spec.main], shape=spec.shape[1:])
        mean = None if spec.mean is None else spec.mean.mean(0)
        return replace(self, spec=DataSpec(spec.name, keys={**spec.keys, spec.main: x}, mean=mean))

    @property
    def cross_entropy(self) -> str | None:
        """The likelihood whose energy is the cross-entropy of pixels; None, the usual one, where x may leave [0, 1]."""
        return {"binary": "bernoulli", "levels": "bernoulli-grey", "unit": "bernoulli-grey"}.get(self.spec.kind)


@dataclass(frozen=True, kw_only=True)
class Dense(Networks):
    """Dense networks, of data of any shape.

    Attributes:
        hidden: sizes of the hidden layers of the encoder, and reversed of the decoder.
        activation: of the hidden layers.
    """

    hidden: list[int] | tuple[int, ...] = (200, 200)
    activation: Activation = "tanh"

    def encoder(self, out_features: int, others: Sequence[Size] = ()) -> MLPEncoder:
        """From x, and inputs of other sizes or shapes, to so many features."""
        return MLPEncoder(self.spec.shape, self.hidden, out_features, self.activation, others)

    def count_encoder(self, out_features: int, start: Sequence[float] | None = None) -> nn.Module:
        """From the logarithms of one more than the counts x to so many features, around ``start`` at first."""
        encoder = self.encoder(out_features)
        if start is not None:
            encoder.mlp[-1].weight.data.mul_(0.1)
            encoder.mlp[-1].bias.data = torch.tensor(start)
        return nn.Sequential(Log1p(), encoder)

    def decoder(
        self, inputs: int | Sequence[Size], usual: str | None = None, branched: bool = False
    ) -> tuple[MLPDecoder, Likelihood]:
        """From one or several inputs to x, with its likelihood (:meth:`Networks.start`).

        With ``branched`` each input has a first layer of its own, and the sizes are not reversed.
        """
        hidden = self.hidden if branched else list(reversed(self.hidden))
        return self.start(lambda n: MLPDecoder(inputs, hidden, self.spec.shape, n, self.activation, branched), usual)

    def joint(self, inputs: Sequence[Size], out_features: int) -> JointMLP:
        """From several inputs to so many features."""
        return JointMLP(inputs, self.hidden, out_features, self.activation)


@dataclass(frozen=True, kw_only=True)
class Convolutional(Networks):
    """Convolutional networks, of images (H, W) or (C, H, W) of any size.

    Attributes:
        channels: of the 3x3 convolutions of stride 2 of the encoder, and reversed of the decoder.
        hidden: size of the dense layer between the convolutions and z.
        activation: of the hidden layers.
    """

    channels: list[int] | tuple[int, ...] = (32, 64)
    hidden: int = 256
    activation: Activation = "relu"

    def encoder(self, out_features: int) -> ConvEncoder:
        """From x to so many features."""
        return ConvEncoder(self.spec.shape, self.channels, self.hidden, out_features, self.activation)

    def decoder(self, latent_dim: int) -> tuple[ConvDecoder, Likelihood]:
        """From z to x, with its likelihood (:meth:`Networks.start`)."""
        sizes = (latent_dim, self.channels, self.hidden, self.spec.shape)
        return self.start(lambda n: ConvDecoder(*sizes, n, self.activation))


@dataclass(frozen=True, kw_only=True)
class Grid(Networks):
    """Convolutional networks between images (H, W) or (C, H, W) and smaller ones, of codes.

    Attributes:
        channels: of the 3x3 convolutions of stride 2 of the encoder, and reversed of the decoder.
        activation: of the convolutions.
    """

    channels: list[int] | tuple[int, ...] = (32, 64)
    activation: Activation = "relu"

    def encoder(self, code_dim: int) -> GridEncoder:
        """From x to so many numbers at each place."""
        return GridEncoder(self.spec.shape, self.channels, code_dim, self.activation)

    def above(self, grid: tuple[int, int], features: int, code_dim: int) -> GridAbove:
        """From so many features at each place of a grid, (..., P F), to numbers at each place of one half as high and wide."""
        return GridAbove(grid, features, self.channels[-1:], code_dim, self.activation)

    def decoder(self, code_dim: int) -> tuple[GridDecoder, Likelihood]:
        """From so many numbers at each place to x, with its likelihood (:meth:`Networks.start`)."""
        return self.start(lambda n: GridDecoder(code_dim, self.channels, self.spec.shape, n, self.activation))
