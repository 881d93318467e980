"""Importance sampling of log p(x) in JAX, in a process of its own: one jitted call for a batch of images.

Run by the entry ``evidence-speed`` with an interpreter that has jax.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.lab.worker import serve

PASSES = ((100, 50), (50, 20), (20, 250))  # images and samples of each in a pass; the fastest is used


def layers(weights: dict[str, np.ndarray], name: str) -> list[tuple[jax.Array, jax.Array]]:
    numbers = sorted({int(key.split(".")[-2]) for key in weights if key.startswith(name)})
    return [(jnp.asarray(weights[f"{name}.{i}.weight"].T), jnp.asarray(weights[f"{name}.{i}.bias"])) for i in numbers]


def mlp(network: list[tuple[jax.Array, jax.Array]], x: jax.Array) -> jax.Array:
    for w, b in network[:-1]:
        x = jnp.tanh(x @ w + b)
    w, b = network[-1]
    return x @ w + b


@partial(jax.jit, static_argnums=(4, 5))
def log_evidence(encoder: Any, decoder: Any, key: jax.Array, x: jax.Array, samples: int, chunk: int) -> jax.Array:
    """log (1/K) sum_k w_kb, (B,), the passes of ``chunk`` samples in a scan."""
    loc, log_scale = jnp.split(mlp(encoder, x), 2, -1)

    def weigh(total: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        noise = jax.random.normal(key, (chunk, *loc.shape))
        z = loc + jnp.exp(log_scale) * noise
        log_px = -jax.nn.softplus((1 - 2 * x) * mlp(decoder, z)).sum(-1)
        log_weight = log_px + 0.5 * (noise**2 - z**2).sum(-1) + log_scale.sum(-1)
        return jnp.logaddexp(total, jax.nn.logsumexp(log_weight, 0)), None

    total, _ = lax.scan(weigh, jnp.full(len(x), -jnp.inf), jax.random.split(key, samples // chunk))
    return total - jnp.log(samples)


class Session:
    """The weights, and the fastest shape of a pass."""

    def load(self, weights: str, batch: int, samples: int) -> dict[str, Any]:
        arrays = dict(np.load(weights).items())
        self.networks = layers(arrays, "guide.encoder.mlp"), layers(arrays, "model.decoder.mlp")
        self.samples, self.key, times, compile_s = samples, jax.random.PRNGKey(0), {}, 0.0
        x = np.random.default_rng(0).integers(0, 2, (batch, 784)).astype(np.float32)
        for self.shape in PASSES:
            began = time.perf_counter()
            self.run(x[: self.shape[0]])
            compile_s = max(compile_s, time.perf_counter() - began)
            began = time.perf_counter()
            self.run(x)
            times[self.shape] = time.perf_counter() - began
        self.shape = min(times, key=times.__getitem__)
        return {"compile_s": compile_s, "shape": list(self.shape), "versions": {"jax": jax.__version__}}

    def run(self, x: np.ndarray) -> np.ndarray:
        rows, chunk = self.shape
        parts = []
        for first in range(0, len(x), rows):
            self.key, key = jax.random.split(self.key)
            parts.append(log_evidence(*self.networks, key, jnp.asarray(x[first : first + rows]), self.samples, chunk))
        return np.concatenate([np.asarray(part) for part in parts])

    def estimate(self, images: str) -> tuple[float, list[float]]:
        x = np.load(images)
        began = time.perf_counter()
        values = self.run(x)
        return time.perf_counter() - began, values.tolist()


if __name__ == "__main__":
    session = Session()
    serve({"load": session.load, "estimate": session.estimate})
