"""The rows of the entry ``speed`` in NumPyro, in a process of its own: jitted ``svi.update``, and the same in ``lax.scan``.

Run with an interpreter that has numpyro (and funsor, for the enumerated row). Starts from the torch pair's weights, so that
its bound can be compared.
"""

from __future__ import annotations

import os
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import lax
from numpyro.contrib.control_flow import scan
from numpyro.infer import SVI, RenyiELBO, Trace_ELBO, TraceEnum_ELBO

from benchmarks.lab.worker import peak_mb, serve
from benchmarks.speed.rows import Row

Params = dict[str, jax.Array]


# ---------------------------------------------------------------------------------------------------- networks
def linear(p: Params, name: str, x: jax.Array) -> jax.Array:
    """x W + b, W stored as (in, out)."""
    y = x @ p[f"{name}.weight"]
    return y + p[f"{name}.bias"] if f"{name}.bias" in p else y


def mlp(p: Params, name: str, x: jax.Array, activation: Any = jnp.tanh) -> jax.Array:
    """Layers name.0, name.2, ... with activations between them."""
    numbers = sorted(int(key.split(".")[-2]) for key in p if key.startswith(f"{name}.") and key.endswith("weight"))
    for i in numbers[:-1]:
        x = activation(linear(p, f"{name}.{i}", x))
    return linear(p, f"{name}.{numbers[-1]}", x)


def normal(features: jax.Array) -> dist.Distribution:
    """Normal of means and log scales, (..., 2d)."""
    loc, log_scale = jnp.split(features, 2, -1)
    return dist.Normal(loc, jnp.exp(log_scale)).to_event(1)


def standard(dim: int) -> dist.Distribution:
    """N(0, I_d)."""
    return dist.Normal(jnp.zeros(dim), 1.0).to_event(1)


def bernoulli(logits: jax.Array, event_dim: int = 1) -> dist.Distribution:
    """One event of independent pixels."""
    return dist.Bernoulli(logits=logits).to_event(event_dim)


IMAGE = ("NHWC", "HWIO", "NHWC")


def encoder(p: Params, x: jax.Array) -> jax.Array:
    """Of the dense or convolutional VAE."""
    if "encoder.mlp.0.weight" in p:
        return mlp(p, "encoder.mlp", x.reshape(len(x), -1))
    h = x[..., None]
    for name in ("encoder.layers.0", "encoder.layers.2"):
        h = lax.conv_general_dilated(h, p[f"{name}.weight"], (2, 2), [(1, 1)] * 2, dimension_numbers=IMAGE)
        h = jax.nn.relu(h + p[f"{name}.bias"])
    return mlp(p, "encoder.layers.5", h.reshape(len(h), -1), jax.nn.relu)


def decoder(p: Params, z: jax.Array) -> jax.Array:
    """Logits (..., 784) of the dense or convolutional VAE."""
    if "decoder.mlp.0.weight" in p:
        return mlp(p, "decoder.mlp", z)
    h = jax.nn.relu(mlp(p, "decoder.layers.0", z, jax.nn.relu)).reshape(len(z), 7, 7, 64)
    for name in ("decoder.layers.3", "decoder.layers.5"):
        h = h if name.endswith("3") else jax.nn.relu(h)
        h = lax.conv_transpose(h, p[f"{name}.weight"], (2, 2), [(1, 2)] * 2, dimension_numbers=IMAGE) + p[f"{name}.bias"]
    return h.reshape(len(z), -1)


def convert(name: str, w: np.ndarray) -> np.ndarray:
    """A torch weight in JAX's layout: (in, out), HWIO, and features of images in the order H, W, C."""
    if w.ndim == 4 and name.startswith("decoder"):
        return np.flip(w, (2, 3)).transpose(2, 3, 0, 1)
    if w.ndim == 4:
        return w.transpose(2, 3, 1, 0)
    if name == "encoder.layers.5.0.weight":
        w = w.reshape(len(w), 64, 49).transpose(0, 2, 1).reshape(len(w), -1)
    if name.startswith("decoder.layers.0.2."):
        w = w.reshape(64, 49, -1).swapaxes(0, 1).reshape(w.shape)
    return w.T


# ----------------------------------------------------------------------------------------------------- programs
class VAE:
    """z ~ N(0, I), x | z ~ Bernoulli(decoder(z)); q(z | x) Gaussian."""

    def __init__(self, row: Row, model: Params, guide: Params) -> None:
        self.row, self.weights = row, {"model": model, "guide": guide}

    def params(self, program: str) -> Params:
        return numpyro.param(program, self.weights[program])

    def model(self, x: jax.Array) -> None:
        p = self.params("model")
        with numpyro.plate("data", len(x)):
            z = numpyro.sample("z", standard(self.row.latent_dim))
            numpyro.sample("x", bernoulli(decoder(p, z)), obs=x.reshape(len(x), -1))

    def guide(self, x: jax.Array) -> None:
        features = encoder(self.params("guide"), x)
        with numpyro.plate("data", len(x)):
            numpyro.sample("z", normal(features))


class TwoLayers(VAE):
    """Burda's two stochastic layers."""

    def model(self, x: jax.Array) -> None:
        p = self.params("model")
        with numpyro.plate("data", len(x)):
            z2 = numpyro.sample("z2", standard(p["z1.0.weight"].shape[0]))
            z1 = numpyro.sample("z1", normal(mlp(p, "z1", z2)))
            numpyro.sample("x", bernoulli(mlp(p, "x", z1)), obs=x.reshape(len(x), -1))

    def guide(self, x: jax.Array) -> None:
        p = self.params("guide")
        with numpyro.plate("data", len(x)):
            z1 = numpyro.sample("z1", normal(mlp(p, "z1", x.reshape(len(x), -1))))
            numpyro.sample("z2", normal(mlp(p, "z2", z1)))


class Enumerated(VAE):
    """A class of 10, enumerated in the guide."""

    def model(self, x: jax.Array) -> None:
        p = self.params("model")
        classes = p["from_y.weight"].shape[0]
        with numpyro.plate("data", len(x)):
            y = numpyro.sample("y", dist.Categorical(logits=jnp.zeros(classes)))
            z = numpyro.sample("z", standard(p["from_z.weight"].shape[0]))
            h = jnp.tanh(p["from_y.weight"][y] + linear(p, "from_z", z))
            numpyro.sample("x", bernoulli(linear(p, "x", h)), obs=x.reshape(len(x), -1))

    def guide(self, x: jax.Array) -> None:
        p, x = self.params("guide"), x.reshape(len(x), -1)
        with numpyro.plate("data", len(x)):
            y = numpyro.sample("y", dist.Categorical(logits=mlp(p, "y", x)), infer={"enumerate": "parallel"})
            h = jnp.tanh(linear(p, "from_x", x) + p["from_y.weight"][y])
            numpyro.sample("z", normal(linear(p, "z", h)))


def cell(p: Params, inputs: jax.Array, z: jax.Array, h: jax.Array) -> jax.Array:
    """h_t from W x_t + b, z_t and h_t-1."""
    return jnp.tanh(inputs + linear(p, "cell.from_z", z) + linear(p, "cell.from_h", h))


class Sequence(VAE):
    """A latent at each step, in NumPyro's scan over time.

    Chosen over an unrolled loop with a site for each step, which took 17 to 23 ms where this took 6.3 to 7.0 (jitted, one core
    of a busy machine) and 9.6 s to compile against 2.7.
    """

    def model(self, x: jax.Array) -> None:
        p, x = self.params("model"), x.swapaxes(0, 1)  # (T, B, D)

        def step(h: jax.Array, inputs: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            with numpyro.plate("data", x.shape[1]):
                z = numpyro.sample("z", normal(linear(p, "z", h)))
            return cell(p, inputs, z, h), (h, z)

        start = jnp.zeros((x.shape[1], p["z.weight"].shape[0]))
        _, (h, z) = scan(step, start, linear(p, "cell.inputs", x))
        logits = linear(p, "x", jnp.tanh(linear(p, "from_z", z) + linear(p, "from_h", h)))
        with numpyro.plate("data", x.shape[1]):
            numpyro.sample("x", bernoulli(logits.swapaxes(0, 1), 2), obs=x.swapaxes(0, 1))

    def guide(self, x: jax.Array) -> None:
        p, x = self.params("guide"), x.swapaxes(0, 1)

        def step(h: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            inputs, features = now
            with numpyro.plate("data", x.shape[1]):
                z = numpyro.sample("z", normal(linear(p, "z", jnp.tanh(features + linear(p, "from_h", h)))))
            return cell(p, inputs, z, h), None

        start = jnp.zeros((x.shape[1], p["from_h.weight"].shape[0]))
        scan(step, start, (linear(p, "cell.inputs", x), mlp(p, "encoder", x)))


PROGRAMS = {"vae": VAE, "conv": VAE, "two-layers": TwoLayers, "enumerated": Enumerated, "sequence": Sequence}


# ----------------------------------------------------------------------------------------------------- the worker
class Session:
    """One row: its SVI, its batches, and the two ways to step."""

    def load(self, row: dict[str, Any], weights: str, batches: str) -> dict[str, Any]:
        """Build, compile both ways, say what it took."""
        self.row = Row(**row)
        arrays: dict[str, Params] = {"model": {}, "guide": {}}
        for key, value in np.load(weights).items():
            program, name = key.split(".", 1)
            arrays[program][name] = jnp.asarray(convert(name, value))
        programs = PROGRAMS[self.row.kind](self.row, **arrays)
        loss = (
            TraceEnum_ELBO(max_plate_nesting=1)
            if self.row.kind == "enumerated"
            else Trace_ELBO()
            if self.row.particles == 1
            else RenyiELBO(alpha=0, num_particles=self.row.particles)
        )
        self.svi = SVI(programs.model, programs.guide, numpyro.optim.Adam(1e-3), loss)
        self.stacked = jnp.asarray(np.load(batches))
        self.batches = list(self.stacked)
        self.start = self.svi.init(jax.random.PRNGKey(0), self.batches[0])
        self.state, self.position = {"numpyro": self.start, "numpyro-scan": self.start}, 0
        facts = self.choose()
        began = time.perf_counter()
        self.many = jax.jit(lambda state, xs: lax.scan(self.svi.update, state, xs)).lower(self.start, self.stacked).compile()
        return {"numpyro": facts, "numpyro-scan": {"compile_s": time.perf_counter() - began}}

    def choose(self) -> dict[str, Any]:
        """Jit the update, the old state given away or kept, whichever is faster."""
        ways = {"donated": jax.jit(self.svi.update, donate_argnums=0), "kept": jax.jit(self.svi.update)}
        facts: dict[str, dict[str, Any]] = {}
        for name, self.update in ways.items():
            self.state["numpyro"] = jax.tree.map(jnp.copy, self.start)
            compile_s = self.run("numpyro", 1)
            steps = max(3, self.row.steps // 10)
            facts[name] = {
                "compile_s": compile_s,
                "state": name,
                "ms": 1000 * min(self.run("numpyro", steps) for _ in range(3)) / steps,
            }
        best = min(facts, key=lambda name: facts[name].pop("ms"))
        self.update = ways[best]
        return facts[best]

    def run(self, contender: str, steps: int) -> float:
        """Seconds of this many steps; a scan takes all prepared batches in one call."""
        state = self.state[contender]
        began = time.perf_counter()
        if contender == "numpyro":
            for i in range(self.position, self.position + steps):
                state, loss = self.update(state, self.batches[i % len(self.batches)])
            self.position += steps
        else:
            for _ in range(steps // len(self.batches)):
                state, loss = self.many(state, self.stacked)
        jax.block_until_ready((state, loss))
        self.state[contender] = state
        return time.perf_counter() - began

    def bound(self, repeats: int) -> dict[str, list[float]]:
        """The mean bound of the first batch at the first weights, for each of some draws of the noise."""
        evaluate = jax.jit(lambda key: self.svi.evaluate(self.start._replace(rng_key=key), self.batches[0]))
        keys = jax.random.split(jax.random.PRNGKey(1), repeats)
        return {"numpyro": [-float(evaluate(key)) / self.row.batch for key in keys]}


def about() -> dict[str, Any]:
    """Versions, threads and memory."""
    versions = {"numpyro": numpyro.__version__, "jax": jax.__version__}
    return {"versions": versions, "cores": len(os.sched_getaffinity(0)), "peak_mb": peak_mb()}


if __name__ == "__main__":
    session = Session()
    serve({"load": session.load, "run": session.run, "bound": session.bound, "about": about})
