"""Bidirectional Monte Carlo: log p(x) between two bounds, on data that the model itself made."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.inference import device_of, inference, private_random
from pyrovae.core.keys import drawn_keys, write_values
from pyrovae.core.pair import PairLike, as_pair
from pyrovae.core.program import template
from pyrovae.data.split import hash_columns
from pyrovae.errors import OptionError
from pyrovae.evidence.ais import AIS
from pyrovae.evidence.annealing import anneal
from pyrovae.evidence.estimate import stream
from pyrovae.evidence.evidence import Evidence, mean_and_error
from pyrovae.evidence.method import Job, refuse_worthless, require
from pyrovae.evidence.target import Target
from pyrovae.evidence.weights import Weights
from pyrovae.generate.ancestral import sample
from pyrovae.plots import estimates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BDMC", "bdmc"]

LATENT_PREFIX = "latent "  # before a latent site's name among the data


@dataclass(frozen=True, repr=False)
class BDMC:
    """Bounds on log p(x_b) of N simulated data, in nats.

    Attributes:
        lower: forward AIS, a lower bound in expectation.
        upper: (N,), reverse AIS from the very z that made x, an upper bound in expectation.
        acceptance: of the reverse chains, (N,).
        data: what the model drew, x and z by site name, N rows each.
    """

    lower: Evidence
    upper: Tensor
    acceptance: Tensor
    data: Mapping[str, Tensor]

    @property
    def gaps(self) -> Tensor:
        """upper - lower, (N,)."""
        return self.upper - self.lower.value

    @property
    def gap(self) -> tuple[float, float]:
        """Mean gap and its standard error over data: in expectation what log p(x) is missed by, at most."""
        return mean_and_error(self.gaps)

    def __repr__(self) -> str:
        (upper, upper_error), (gap, gap_error) = mean_and_error(self.upper), self.gap
        chains, steps = self.lower.options["num_chains"], self.lower.options["num_distributions"]
        return (
            f"{self.lower.mean:.3f} +- {self.lower.mean_stderr:.3f} <= log p(x) <= {upper:.3f} +- {upper_error:.3f} nats per "
            f"datum in expectation; gap {gap:.3f} +- {gap_error:.3f} (bdmc, {len(self.upper)} simulated data x {chains} "
            f"chains x {steps} distributions; acceptance {float(self.lower.acceptance.mean()):.2f} forward, "
            f"{float(self.acceptance.mean()):.2f} reverse)"
        )

    def to_json(self) -> dict[str, Any]:
        """The summary."""
        (upper, upper_error), (gap, gap_error) = mean_and_error(self.upper), self.gap
        bounds = {"upper": upper, "upper_stderr": upper_error, "gap": gap, "gap_stderr": gap_error}
        return {**self.lower.to_json(), **bounds, "reverse_acceptance": float(self.acceptance.mean())}

    def plot(self) -> Figure:
        """Lower bounds in order, and the gap of each datum."""
        return estimates(self.lower.value, self.lower.stderr, "gap (nats)", self.gaps)


@dataclass(frozen=True)
class Drawn:
    """N rows that a model drew, as they are: nothing is read as grey levels, classes or counts.

    Attributes:
        columns: tensors by name, N rows each.
    """

    columns: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def batches(self, batch_size: int) -> Iterator[dict[str, Tensor]]:
        """Every row once, in order."""
        for start in range(0, len(self), batch_size):
            yield {key: value[start : start + batch_size] for key, value in self.columns.items()}

    def fingerprint(self) -> str:
        """sha256 (hex) of the rows."""
        digest = hashlib.sha256()
        hash_columns(digest, dict(self.columns), len(self))
        return digest.hexdigest()


@dataclass(frozen=True)
class Sandwich(AIS):
    """AIS of both directions under one schedule, on data that carry their latents."""

    name: ClassVar[str] = "bdmc"

    @property
    def work(self) -> int:
        return 2 * super().work

    def estimate(self, job: Job) -> dict[str, Tensor]:
        target = Target(job.model, job.guide, job.batch, job.max_rows)
        group = max(1, job.max_rows // job.size)
        path, move, schedule = self.plan(target, job.code, group)
        latents = {k.removeprefix(LATENT_PREFIX): v.unsqueeze(0) for k, v in job.batch.items() if k.startswith(LATENT_PREFIX)}
        end = target.pack(latents)
        forward, reverse = (Weights(job.size, job.device, most) for most in (self.num_chains, 0))
        acceptance = torch.zeros(2, job.size, dtype=torch.float64, device=job.device)
        for done in range(0, self.num_chains, group):
            k = min(group, self.num_chains - done)
            tick = partial(job.tick, k * job.size)
            runs = (
                self.run(target, path, move, schedule, k, job),
                anneal(path, end.expand(k, -1, -1), schedule, move, reverse=True, tick=tick, keeper=job.keeper),
            )
            for weights, rate, run in zip((forward, reverse), acceptance, runs, strict=True):
                weights.add(run.log_weight)
                rate += run.acceptance * k / self.num_chains
        columns, backward = forward.columns(), reverse.columns()
        for values in (columns["value"], backward["value"]):
            refuse_worthless(values, job, f"{self.num_chains} chains' weights")
        kept = {name: columns[name] for name in ("value", "stderr", "ess", "khat", "num_weights")}
        extra = {"acceptance": acceptance[0], "upper": -backward["value"], "upper_acceptance": acceptance[1]}
        return {**kept, **extra, "passes": torch.full_like(columns["value"], target.passes)}


@public()
def bdmc(
    pair: PairLike,
    num_data: int = 100,
    like: Mapping[str, Tensor] | None = None,
    *,
    batch_size: int = 100,
    max_rows: int = 5000,
    seed: int = 0,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    precision: str = "float32",
    compile: bool | None = None,
    **options: Any,
) -> BDMC:
    """How far AIS is from the truth on data that the model draws: two bounds on log p(x_b), (N,), in nats.

        E[log w_forward] <= log p(x) <= E[-log w_reverse],   x, z ~ p(x, z)

    The z that made x is an exact draw of p(z | x); chains that start there and anneal back to f_0 have weights of mean
    1 / p(x). Both directions use one schedule, tuned and frozen before. The gap tells what AIS with these options misses on
    data like the model's own, at most.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        num_data: N, how many x to simulate.
        like: covariates and shapes, as for :func:`pyrovae.sample`; not needed for a model that has seen data.
        batch_size: as for :func:`log_evidence`.
        max_rows: as for :func:`log_evidence`.
        seed: as for :func:`log_evidence`.
        progress: as for :func:`log_evidence`.
        checkpoint: as for :func:`log_evidence`.
        precision: as for :func:`log_evidence`.
        compile: as for :func:`log_evidence`.
        options: of :class:`~pyrovae.evidence.ais.AIS`: num_chains, num_distributions, start, path, num_leapfrog, ...

    References: Grosse, Ancha and Roy, Measuring the Reliability of MCMC Inference with Bidirectional Monte Carlo, 2016.

    >>> import pyrovae as pv
    >>> pair = pv.pairs.linear_gaussian(pv.data.DataSpec("toy", (4,), "real"), latent_dim=2)
    >>> both = bdmc(pair, 5, like={"x": torch.zeros(1, 4)}, num_chains=2, num_distributions=5)
    >>> bool(abs(both.gap[0]) < 1e-3)  # the guide is exact
    True
    """
    pair = as_pair(pair)
    require("num_data", num_data, 1)
    method = Sandwich.build(options)
    with private_random(seed, device_of(pair.model, pair.guide)):
        drawn = sample(pair, num_data, like=like)
    batch = template(pair.model, num_data, like)
    with inference(pair):
        sources = drawn_keys(pair.model, batch, given=like or ())
    made = [name for name, source in sources.items() if source.places is not None]
    if not made or len(made) < len(sources):
        raise OptionError(
            f"the model draws {', '.join(drawn)} and the batch has {', '.join(batch)}, whose values are not those of "
            f"{', '.join(sources.keys() - made) or 'any site'}: no data to simulate."
        )
    data = write_values(batch, sources, drawn)
    data |= {LATENT_PREFIX + name: value for name, value in drawn.items() if name not in sources}
    columns = stream(pair, Drawn(data), method, batch_size, max_rows, seed, progress, checkpoint, precision, compile)
    lower = Evidence.of(columns, "ais", "lower", {**method.options(), "seed": seed})
    return BDMC(lower, columns["upper"], columns["upper_acceptance"], drawn)
