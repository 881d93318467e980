"""A step of M2 in turns: compiled, eager, hand-written PyTorch, stock Pyro as in its tutorial."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import pyro.infer
import pyro.optim
import torch
from torch import Tensor, nn

import pyrovae as pv
from benchmarks.speed.row import alternate
from pyrovae import objectives
from pyrovae.compile.step import Step
from pyrovae.core.parameters import parameters

__all__ = ["Measurement", "PlainM2"]

Batch = Mapping[str, Tensor]
Update = Callable[[Batch], object]


class PlainM2(nn.Module):
    """M2 without Pyro: classes by repeating rows, labelled rows apart, analytic KL."""

    def __init__(self, data_dim: int, classes: int, latent_dim: int, hidden: int) -> None:
        super().__init__()

        def mlp(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(inputs, hidden), nn.Softplus(), nn.Linear(hidden, outputs))

        self.classifier = mlp(data_dim, classes)
        self.encoder, self.decoder = mlp(data_dim + classes, 2 * latent_dim), mlp(latent_dim + classes, data_dim)
        self.classes = classes

    def bound(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """L(x, y), rows of x and one-hot y."""
        loc, raw = self.encoder(torch.cat([x, y], -1)).chunk(2, -1)
        scale = nn.functional.softplus(raw) + 1e-3
        z = loc + scale * torch.randn_like(loc)
        logits = self.decoder(torch.cat([z, y], -1))
        fit = -nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        kl = 0.5 * (loc.square() + scale.square() - 1 - 2 * scale.log()).sum(-1)
        return fit - kl - math.log(self.classes)

    def loss(self, x: torch.Tensor, y: torch.Tensor, labelled: int, alpha: float) -> torch.Tensor:
        one_hot = torch.eye(self.classes)
        log_q = self.classifier(x).log_softmax(-1)
        rest = x[labelled:]
        every = self.bound(rest.repeat(self.classes, 1), one_hot.repeat_interleave(len(rest), 0))
        free = log_q[labelled:]
        unlabelled = (free.exp() * (every.view(self.classes, -1).T - free)).sum(-1)
        known = self.bound(x[:labelled], one_hot[y[:labelled]])
        chosen = log_q[:labelled].gather(1, y[:labelled, None])
        return -(unlabelled.sum() + known.sum()) / len(x) - alpha * chosen.mean()


class StockM2(nn.Module):
    """M2 as Pyro's tutorial has it: y observed or enumerated by a branch, inputs concatenated."""

    def __init__(self, plain: PlainM2, latent_dim: int) -> None:
        super().__init__()
        self.plain, self.latent_dim = plain, latent_dim

    def model(self, x: torch.Tensor, y: torch.Tensor | None = None) -> None:
        pyro.module("m2", self.plain)
        with pyro.plate("data", len(x)):
            y = pyro.sample("y", dist.OneHotCategorical(torch.ones(self.plain.classes) / self.plain.classes), obs=y)
            z = pyro.sample("z", dist.Normal(torch.zeros(self.latent_dim), 1.0).to_event(1))
            y = y.expand(*z.shape[:-1], -1)
            pyro.sample(
                "x", dist.Bernoulli(logits=self.plain.decoder(torch.cat([z, y], -1)), validate_args=False).to_event(1), obs=x
            )

    def guide(self, x: torch.Tensor, y: torch.Tensor | None = None) -> None:
        with pyro.plate("data", len(x)):
            if y is None:
                y = pyro.sample("y", dist.OneHotCategorical(logits=self.plain.classifier(x)))
            shape = torch.broadcast_shapes(x.shape[:-1], y.shape[:-1])
            both = torch.cat([x.expand(*shape, -1), y.expand(*shape, -1)], -1)
            loc, raw = self.plain.encoder(both).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, nn.functional.softplus(raw) + 1e-3).to_event(1))

    def classify(self, x: torch.Tensor, y: torch.Tensor) -> None:
        pyro.module("m2", self.plain)
        with pyro.plate("data", len(x)):
            pyro.sample("y_aux", dist.OneHotCategorical(logits=self.plain.classifier(x)), obs=y)


def ours(pair: pv.Pair, batch: Batch, precision: str, backend: str | None) -> Update:
    """The step of ``fit``, which knows that labelled rows come first."""
    objective = objectives.get({"name": "semisupervised", "base": "meanfield"})
    objective.labelled_first = True
    if backend != "eager":
        return pv.compile_step(pair, batch, objective, precision=precision, backend=backend)
    optimizer = torch.optim.Adam(parameters(pair.model, pair.guide).values(), fused=True)
    return Step(objective, pair.model, pair.guide, {"pair": optimizer}, precision=precision)


def plain(model: PlainM2, labelled: int) -> Update:
    """Hand-written PyTorch with fused Adam."""
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def step(batch: Batch) -> None:
        optimizer.zero_grad(set_to_none=True)
        model.loss(batch["x"].flatten(1), batch["y"], labelled, 0.1).backward()
        optimizer.step()

    return step


def stock(model: PlainM2, latent_dim: int, labelled: int) -> Update:
    """Pyro's example: a step on labelled rows with the auxiliary loss, and one on the others."""
    pyro.clear_param_store()
    m2 = StockM2(model, latent_dim)
    optimizer = pyro.optim.Adam({"lr": 1e-3})
    guide = pyro.infer.config_enumerate(m2.guide, "parallel", expand=True)
    bound = pyro.infer.SVI(m2.model, guide, optimizer, pyro.infer.TraceEnum_ELBO(max_plate_nesting=1))
    auxiliary = pyro.infer.SVI(m2.classify, lambda x, y: None, optimizer, pyro.infer.Trace_ELBO())

    def step(batch: Batch) -> None:
        x, y = batch["x"].flatten(1), torch.eye(model.classes)[batch["y"][:labelled]]
        bound.step(x[labelled:])
        bound.step(x[:labelled], y)
        auxiliary.step(x[:labelled], y)

    return step


@dataclass(frozen=True)
class Measurement:
    """How the contenders are timed.

    Attributes:
        make_pair: the M2, new.
        batches: their labelled rows first, the same number in each.
        sizes: of an image, of the classes, of z and of the hidden layer.
        precision: of pyrovae's steps.
        backend: of the compiled step; None is its own choice.
    """

    make_pair: Callable[[], pv.Pair]
    batches: Sequence[Batch]
    sizes: tuple[int, int, int, int]
    precision: str = "float32"
    backend: str | None = None

    def makers(self) -> dict[str, Callable[[], Update]]:
        """What makes each contender's step."""
        batch, sizes = self.batches[0], self.sizes
        labelled = int((batch["y"] >= 0).sum())
        return {
            "compiled": lambda: ours(self.make_pair(), batch, self.precision, self.backend),
            "eager": lambda: ours(self.make_pair(), batch, self.precision, "eager"),
            "hand-written PyTorch": lambda: plain(PlainM2(*sizes), labelled),
            "stock Pyro": lambda: stock(PlainM2(*sizes), sizes[2], labelled),
        }

    def milliseconds(self, steps: int, rounds: int) -> dict[str, list[float]]:
        """Milliseconds a step of each contender, in rounds in which they take turns of so many steps."""

        def turn(step: Update, num: int) -> float:
            start = time.perf_counter()
            for number in range(num):
                step(self.batches[number % len(self.batches)])
            return 1000 * (time.perf_counter() - start) / num

        with pyro.validation_enabled(False):
            turns = {name: functools.partial(turn, make()) for name, make in self.makers().items()}
            return alternate(turns, steps, rounds)
