"""Pythae's ``get_nll``, in a process of its own. Run by the entry ``evidence-speed`` with an interpreter that has pythae."""

from __future__ import annotations

import os
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from pythae.models import VAE, VAEConfig

from benchmarks.lab.worker import serve
from benchmarks.speed.contenders.pythae import dense, fill
from benchmarks.speed.rows import Row

BATCHES = (100, 500, 2500)  # samples of an image in a pass; the fastest is used


class Session:
    """A VAE with the pair's weights."""

    def load(self, weights: str, batch: int, samples: int) -> dict[str, Any]:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        self.samples = samples
        config = VAEConfig(input_dim=(28, 28), latent_dim=50, reconstruction_loss="bce")
        self.model = VAE(config, *dense(Row("vae", 100)))
        fill(self.model, {name: torch.from_numpy(value) for name, value in np.load(weights).items()})
        self.model.eval()
        times, x = {}, torch.rand(1, 28, 28).round()
        for self.batch in (batch,) if batch else BATCHES:
            began = time.perf_counter()
            self.nll(x)
            times[self.batch] = time.perf_counter() - began
        self.batch = min(times, key=times.__getitem__)
        return {"compile_s": 0.0, "batch_size": self.batch, "versions": {"pythae": version("pythae")}}

    @torch.no_grad()
    def nll(self, x: torch.Tensor) -> float:
        """Of one image; the name is Pythae's, the value log p(x)."""
        return float(self.model.get_nll(x, n_samples=self.samples, batch_size=self.batch))

    def estimate(self, images: str) -> tuple[float, list[float]]:
        x = torch.from_numpy(np.load(images)).reshape(-1, 28, 28)
        began = time.perf_counter()
        values = [self.nll(row[None]) for row in x]
        return time.perf_counter() - began, values


if __name__ == "__main__":
    session = Session()
    serve({"load": session.load, "estimate": session.estimate})
