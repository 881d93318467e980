"""The VAE and IWAE rows of the entry ``speed`` in Pythae, in a process of its own.

Run with an interpreter that has pythae. Its networks have the layers of the torch pair and start from its weights; its step
is that of its ``BaseTrainer`` (forward, zero_grad, backward, Adam, the loss read) without the trainer's callbacks and data
loader.
"""

from __future__ import annotations

import itertools
import math
import os
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from pythae.models import IWAE, VAE, IWAEConfig, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch import Tensor, nn

from benchmarks.lab.worker import peak_mb, serve
from benchmarks.speed.rows import Row


class Encoder(BaseEncoder):
    """x (B, 28, 28) to means and log variances: a body, and a layer for each."""

    def __init__(self, body: nn.Sequential, width: int, latent_dim: int) -> None:
        super().__init__()
        self.body, self.loc, self.log_var = body, nn.Linear(width, latent_dim), nn.Linear(width, latent_dim)

    def forward(self, x: Tensor) -> ModelOutput:
        h = self.body(x)
        return ModelOutput(embedding=self.loc(h), log_covariance=self.log_var(h))


class Decoder(BaseDecoder):
    """z to probabilities (B, 28, 28), as Pythae's cross-entropy takes them."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)).reshape(-1, 28, 28))


def dense(row: Row) -> tuple[Encoder, Decoder]:
    """Tanh layers."""

    def layers(sizes: list[int]) -> list[nn.Module]:
        return [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.Tanh())]

    body = nn.Sequential(nn.Flatten(), *layers([784, *row.hidden]))
    decoder = nn.Sequential(*layers([row.latent_dim, *reversed(row.hidden)]), nn.Linear(row.hidden[0], 784))
    return Encoder(body, row.hidden[-1], row.latent_dim), Decoder(decoder)


def convolutional(row: Row) -> tuple[Encoder, Decoder]:
    """The layers of pyrovae's conv-vae."""
    body = nn.Sequential(
        nn.Unflatten(1, (1, 28)),
        nn.Conv2d(1, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3136, 256),
        nn.ReLU(),
    )
    decoder = nn.Sequential(
        nn.Linear(row.latent_dim, 256),
        nn.ReLU(),
        nn.Linear(256, 3136),
        nn.ReLU(),
        nn.Unflatten(1, (64, 7, 7)),
        nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 3, stride=2, padding=1, output_padding=1),
    )
    return Encoder(body, 256, row.latent_dim), Decoder(decoder)


def fill(model: VAE, weights: dict[str, Tensor]) -> None:
    """The pair's weights, in the order of its layers; a log variance is twice a log scale."""
    guide = [value for name, value in weights.items() if name.startswith("guide.")]
    decoder = [value for name, value in weights.items() if name.startswith("model.")]
    (loc_w, scale_w), (loc_b, scale_b) = (value.chunk(2) for value in guide[-2:])
    with torch.no_grad():
        for parts, values in (
            (model.encoder, [*guide[:-2], loc_w, loc_b, 2 * scale_w, 2 * scale_b]),
            (model.decoder, decoder),
        ):
            for parameter, value in zip(parts.parameters(), values, strict=True):
                parameter.copy_(value)


class Session:
    """One row: its model, its batches, its optimizer."""

    def load(self, row: dict[str, Any], weights: str, batches: str) -> dict[str, Any]:
        """Build; nothing is compiled."""
        self.row = Row(**row)
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        options = {"input_dim": (28, 28), "latent_dim": self.row.latent_dim, "reconstruction_loss": "bce"}
        parts = (convolutional if self.row.kind == "conv" else dense)(self.row)
        if self.row.particles == 1:
            self.model = VAE(VAEConfig(**options), *parts)
        else:
            self.model = IWAE(IWAEConfig(**options, number_samples=self.row.particles), *parts)
        self.start = {name: torch.from_numpy(value) for name, value in np.load(weights).items()}
        fill(self.model, self.start)
        self.batches = [torch.from_numpy(x) for x in np.load(batches)]
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.position = 0
        return {"pythae": {"compile_s": None}}

    def run(self, contender: str, steps: int) -> float:
        """Seconds of this many steps."""
        self.model.train()
        total = 0.0
        began = time.perf_counter()
        for i in range(self.position, self.position + steps):
            output = self.model({"data": self.batches[i % len(self.batches)]}, epoch=1, dataset_size=50_000, uses_ddp=False)
            self.optimizer.zero_grad()
            output.loss.backward()
            self.optimizer.step()
            total += output.loss.item()
            if math.isnan(total):
                raise ArithmeticError("NaN detected in train loss")
        self.position += steps
        return time.perf_counter() - began

    @torch.no_grad()
    def bound(self, repeats: int) -> dict[str, list[float]]:
        """Minus its loss on the first batch at the first weights; of its IWAE that is sum_k w_k log w_k / sum_k w_k."""
        fill(self.model, self.start)
        name = "pythae" if self.row.particles == 1 else "pythae-weighted"
        return {name: [-float(self.model({"data": self.batches[0]}).loss) for _ in range(repeats)]}


def about() -> dict[str, Any]:
    """Versions, threads and memory."""
    return {"versions": {"pythae": version("pythae")}, "cores": torch.get_num_threads(), "peak_mb": peak_mb()}


if __name__ == "__main__":
    session = Session()
    serve({"load": session.load, "run": session.run, "bound": session.bound, "about": about})
