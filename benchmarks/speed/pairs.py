"""Pairs that a user might write, for the entry ``speed``: two stochastic layers, an enumerated class, a sequence of latents.

Each is an ordinary pair, a model and a guide under the contract; x is (B, *shape) of zeros and ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

import pyrovae as pv
from benchmarks.speed.rows import Row
from pyrovae.core.steps import unroll
from pyrovae.nets import MLP

__all__ = ["make_pair"]


def gaussian(features: Tensor) -> dist.TorchDistribution:
    """Normal of means and log scales, (..., 2d), d of them one event."""
    loc, log_scale = features.chunk(2, -1)
    return dist.Normal(loc, log_scale.exp()).to_event(1)


def standard(x: Tensor, dim: int) -> dist.TorchDistribution:
    """N(0, I_d)."""
    return dist.Normal(x.new_zeros(dim), 1.0).to_event(1)


def bernoulli(logits: Tensor, shape: Sequence[int]) -> dist.TorchDistribution:
    """One event of ``shape`` from logits, (..., D)."""
    return dist.Bernoulli(logits=logits.unflatten(-1, shape)).to_event(len(shape))


# ------------------------------------------------------------------------------------ two stochastic layers
class TwoLayers(nn.Module):
    """z2 ~ N(0, I), z1 | z2 ~ N(., .), x | z1 ~ Bernoulli: the two-layer model of Burda et al. (2016)."""

    def __init__(self, shape: Sequence[int], latent_dims: Sequence[int], hidden: Sequence[int]) -> None:
        super().__init__()
        d1, self.latent_dim = latent_dims
        self.shape = tuple(shape)
        self.z1 = MLP(self.latent_dim, [hidden[1]] * 2, 2 * d1)
        self.x = MLP(d1, [hidden[0]] * 2, math.prod(shape))

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            z2 = pyro.sample("z2", standard(x, self.latent_dim))
            z1 = pyro.sample("z1", gaussian(self.z1(z2)))
            pyro.sample("x", bernoulli(self.x(z1), self.shape), obs=x)


class TwoLayersGuide(nn.Module):
    """q(z1 | x) q(z2 | z1)."""

    def __init__(self, shape: Sequence[int], latent_dims: Sequence[int], hidden: Sequence[int]) -> None:
        super().__init__()
        d1, d2 = latent_dims
        self.z1 = MLP(math.prod(shape), [hidden[0]] * 2, 2 * d1)
        self.z2 = MLP(d1, [hidden[1]] * 2, 2 * d2)

    def forward(self, x: Tensor) -> None:
        features = self.z1(x.flatten(1))
        with pyro.plate("data", x.shape[0], dim=-1):
            z1 = pyro.sample("z1", gaussian(features))
            pyro.sample("z2", gaussian(self.z2(z1)))


def two_layers(
    shape: Sequence[int] = (28, 28), latent_dims: Sequence[int] = (100, 50), hidden: Sequence[int] = (200, 100)
) -> pv.Pair:
    """x -> 200-200 -> z1 (100) -> 100-100 -> z2 (50), and its mirror, with the IWAE bound of K = 50."""
    return pv.Pair(TwoLayers(shape, latent_dims, hidden), TwoLayersGuide(shape, latent_dims, hidden), "iwae:num_particles=50")


# --------------------------------------------------------------------------------------- an enumerated class
class Enumerated(nn.Module):
    """y ~ OneHot(uniform over C), z ~ N(0, I), x | y, z ~ Bernoulli: the M2 of Kingma et al. (2014), y never seen."""

    def __init__(self, shape: Sequence[int], classes: int, latent_dim: int, hidden: int) -> None:
        super().__init__()
        self.shape, self.latent_dim, self.classes = tuple(shape), latent_dim, classes
        self.from_y, self.from_z = nn.Linear(classes, hidden, bias=False), nn.Linear(latent_dim, hidden)
        self.x = nn.Linear(hidden, math.prod(shape))

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            y = pyro.sample("y", dist.OneHotCategorical(logits=x.new_zeros(self.classes)))
            z = pyro.sample("z", standard(x, self.latent_dim))
            h = torch.tanh(self.from_y(y) + self.from_z(z))  # a layer of (y, z), each part at its own shape
            pyro.sample("x", bernoulli(self.x(h), self.shape), obs=x)


class EnumeratedGuide(nn.Module):
    """q(y | x) q(z | x, y), y enumerated in parallel."""

    def __init__(self, shape: Sequence[int], classes: int, latent_dim: int, hidden: int) -> None:
        super().__init__()
        self.y = MLP(math.prod(shape), [hidden], classes)
        self.from_x, self.from_y = nn.Linear(math.prod(shape), hidden), nn.Linear(classes, hidden, bias=False)
        self.z = nn.Linear(hidden, 2 * latent_dim)

    def forward(self, x: Tensor) -> None:
        x = x.flatten(1)
        with pyro.plate("data", x.shape[0], dim=-1):
            y = pyro.sample("y", dist.OneHotCategorical(logits=self.y(x)), infer={"enumerate": "parallel"})
            pyro.sample("z", gaussian(self.z(torch.tanh(self.from_x(x) + self.from_y(y)))))


def enumerated(shape: Sequence[int] = (28, 28), classes: int = 10, latent_dim: int = 50, hidden: int = 500) -> pv.Pair:
    """A VAE with a class of 10 that the ELBO sums out."""
    return pv.Pair(Enumerated(shape, classes, latent_dim, hidden), EnumeratedGuide(shape, classes, latent_dim, hidden))


# ------------------------------------------------------------------------------------------------ a sequence
class Cell(nn.Module):
    """h_t = tanh(W x_t + V z_t + U h_t-1 + b); ``inputs`` makes W x + b of all steps at once, (..., T, H)."""

    def __init__(self, data_dim: int, latent_dim: int, hidden: int) -> None:
        super().__init__()
        self.inputs = nn.Linear(data_dim, hidden)
        self.from_z, self.from_h = nn.Linear(latent_dim, hidden, bias=False), nn.Linear(hidden, hidden, bias=False)

    def forward(self, inputs: Tensor, z: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(inputs + self.from_z(z) + self.from_h(h))


class Recurrent(nn.Module):
    """z_t ~ N(., . | h_t-1), x_t ~ Bernoulli(. | h_t-1, z_t), h_t of x_t, z_t, h_t-1: a small VRNN (Chung et al. 2015).

    Sites: ``z1``, ..., ``zT``, (d,); ``x``, (T, D).
    """

    def __init__(self, data_dim: int, latent_dim: int, hidden: int) -> None:
        super().__init__()
        self.cell = Cell(data_dim, latent_dim, hidden)
        self.z = nn.Linear(hidden, 2 * latent_dim)
        self.from_z, self.from_h = nn.Linear(latent_dim, hidden), nn.Linear(hidden, hidden, bias=False)
        self.x = nn.Linear(hidden, data_dim)
        self.hidden = hidden

    def forward(self, x: Tensor) -> None:
        inputs = self.cell.inputs(x)
        h = x.new_zeros(x.shape[0], self.hidden)
        states, latents = [], []
        with pyro.plate("data", x.shape[0], dim=-1):
            for t in range(x.shape[1]):
                z = pyro.sample(f"z{t + 1}", gaussian(self.z(h)))
                states.append(h)
                latents.append(z)
                h = self.cell(inputs[:, t], z, h)
            h, z = torch.stack(torch.broadcast_tensors(*states), -2), torch.stack(latents, -2)
            logits = self.x(torch.tanh(self.from_z(z) + self.from_h(h)))  # the decoder of all steps at once
            pyro.sample("x", dist.Bernoulli(logits=logits).to_event(2), obs=x)


class RecurrentGuide(nn.Module):
    """q(z_t | g_t-1, x_t), with a recurrent state g of its own."""

    def __init__(self, data_dim: int, latent_dim: int, hidden: int) -> None:
        super().__init__()
        self.cell = Cell(data_dim, latent_dim, hidden)
        self.encoder = MLP(data_dim, [hidden], hidden)
        self.from_h, self.z = nn.Linear(hidden, hidden, bias=False), nn.Linear(hidden, 2 * latent_dim)
        self.hidden = hidden

    def forward(self, x: Tensor) -> None:
        inputs, features = self.cell.inputs(x), self.encoder(x)
        h = x.new_zeros(x.shape[0], self.hidden)
        with pyro.plate("data", x.shape[0], dim=-1):
            for t in range(x.shape[1]):
                z = pyro.sample(f"z{t + 1}", gaussian(self.z(torch.tanh(features[:, t] + self.from_h(h)))))
                h = self.cell(inputs[:, t], z, h)


def sequence(data_dim: int = 28, latent_dim: int = 8, hidden: int = 64) -> pv.Pair:
    """The rows of an image as the steps of a sequence, x (B, T, D), with a latent at each; T is the batch's."""
    return pv.Pair(Recurrent(data_dim, latent_dim, hidden), RecurrentGuide(data_dim, latent_dim, hidden))


class ModelSteps(nn.Module):
    """:class:`Recurrent` in steps."""

    def __init__(self, whole: Recurrent) -> None:
        super().__init__()
        self.whole = whole

    def init(self, x: Tensor) -> dict[str, Any]:
        """h, (B, H), and W x + b of all steps."""
        return {"h": x.new_zeros(len(x), self.whole.hidden), "each": {"u": self.whole.cell.inputs(x)}}

    def step(self, state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """z_t, x_t, and the next h."""
        net, h = self.whole, state["h"]
        z = pyro.sample("z", gaussian(net.z(h)))
        pyro.sample("x", bernoulli(net.x(torch.tanh(net.from_z(z) + net.from_h(h))), x.shape[-1:]), obs=x)
        return {"h": net.cell(state["u"], z, h)}


class GuideSteps(nn.Module):
    """:class:`RecurrentGuide` in steps."""

    def __init__(self, whole: RecurrentGuide) -> None:
        super().__init__()
        self.whole = whole

    def init(self, x: Tensor) -> dict[str, Any]:
        """g, (B, H), and what x gives each step."""
        each = {"v": self.whole.cell.inputs(x), "f": self.whole.encoder(x)}
        return {"g": x.new_zeros(len(x), self.whole.hidden), "each": each}

    def step(self, state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """z_t, and the next g."""
        net, g = self.whole, state["g"]
        z = pyro.sample("z", gaussian(net.z(torch.tanh(state["f"] + net.from_h(g)))))
        return {"g": net.cell(state["v"], z, g)}


def in_steps(pair: pv.Pair) -> pv.Pair:
    """The pair of a loop, its networks used in steps."""
    return unroll(ModelSteps(pair.model), GuideSteps(pair.guide))


def make_pair(row: Row) -> pv.Pair:
    """The pair of a row, for x (B, 28, 28) of zeros and ones."""
    spec = pv.data.DataSpec("images", (28, 28), "binary")
    if row.kind == "vae":
        return pv.pairs.vae(spec, latent_dim=row.latent_dim, hidden=row.hidden)
    if row.kind == "conv":
        return pv.pairs.conv_vae(spec, latent_dim=row.latent_dim)
    return {"two-layers": two_layers, "enumerated": enumerated, "sequence": sequence}[row.kind]()
