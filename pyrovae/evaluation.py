"""What a trained pair is worth: ELBO and log p(x) with errors, and how it uses its latent dimensions."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from pyrovae.data import as_split
from pyrovae.diagnostics import SiteKL, active_units, kl_per_dim, posterior_moments
from pyrovae.errors import OptionError
from pyrovae.evidence import Evidence, log_evidence
from pyrovae.evidence.evidence import mean_and_error
from pyrovae.pair import Pair, Program, as_pair
from pyrovae.train.run import Run

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The bounds and the latent dimensions of a pair on N data.

    Attributes:
        evidence: log p(x) and the ELBO per datum.
        active_units: for each latent site, which dimensions are active, (d,) booleans.
        kl: for each latent site, the KL of each dimension and of the whole site, nats per datum.
    """

    evidence: Evidence
    active_units: dict[str, torch.Tensor] = field(default_factory=dict)
    kl: dict[str, SiteKL] = field(default_factory=dict)

    @property
    def elbo(self) -> tuple[float, float]:
        """Mean ELBO and its standard error, nats per datum."""
        return mean_and_error(self.evidence.elbo)

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON."""
        elbo, elbo_stderr = self.elbo
        evidence = self.evidence.to_json()
        return {
            "elbo": elbo,
            "elbo_stderr": elbo_stderr,
            "log_evidence": evidence.pop("mean"),
            "log_evidence_stderr": evidence.pop("mean_stderr"),
            "log_evidence_mc_stderr": evidence.pop("mean_mc_stderr"),
            **evidence,
            "active_units": {site: int(active.sum()) for site, active in self.active_units.items()},
            "latent_dims": {site: len(active) for site, active in self.active_units.items()},
            "kl": {site: kl.total for site, kl in self.kl.items()},
            "kl_per_dim": {
                s: None if kl.per_dim is None else [round(float(v), 4) for v in kl.per_dim] for s, kl in self.kl.items()
            },
        }

    def __repr__(self) -> str:
        figures, (elbo, stderr) = self.to_json(), self.elbo
        lines = [f"ELBO     = {elbo:.3f} +- {stderr:.3f} nats per datum", repr(self.evidence)]
        for site in self.active_units:
            lines.append(
                f"{site}: {figures['active_units'][site]} of {figures['latent_dims'][site]} units active, "
                f"KL {figures['kl'][site]:.2f} nats per datum"
            )
        return "\n".join(lines)


def evaluate(
    run: Run | Pair | tuple[Program, Program],
    data: Any = None,
    *,
    method: str = "importance",
    num_samples: int = 1000,
    batch_size: int = 100,
    max_rows: int = 5000,
    seed: int = 0,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    precision: str = "float32",
    compile: bool | None = None,
    **options: Any,
) -> Evaluation:
    """ELBO and log p(x) with standard errors, active units, KL of each latent dimension.

    Args:
        run: a run or a pair.
        data: split, tensor or dict of tensors; by default the run's test data.
        method: of :func:`~pyrovae.evidence.log_evidence`: importance, ais, smc, bridge or exact.
        num_samples: K of importance sampling, which gives the ELBO whatever the method.
        batch_size: the most data in one pass.
        max_rows: the most draws x data in one pass, the cap on memory.
        seed: of the samples.
        progress: show a bar.
        checkpoint: a file from which an interrupted estimate of log p(x) continues.
        precision, compile: of the passes, as for :func:`~pyrovae.evidence.log_evidence`.
        options: of the method.
    """
    pair = run.pair if isinstance(run, Run) else as_pair(run)
    if data is None:
        if not isinstance(run, Run) or run.data is None:
            raise OptionError("evaluate: no data; give data=... (a split, a tensor x or a dict of tensors).")
        data = run.data.test
        if data is None:
            raise OptionError("evaluate: the run's data have no test split; give data=run.data.train or other data.")
    split = as_split(data)
    shared = {"batch_size": batch_size, "max_rows": max_rows, "seed": seed, "progress": progress}
    shared |= {"precision": precision, "compile": compile}
    own = {**options, "num_samples": num_samples} if method == "importance" else options
    evidence = log_evidence(pair.model, pair.guide, split, method=method, checkpoint=checkpoint, **shared, **own)
    if evidence.elbo.isnan().any():  # of the methods that do not draw from the guide alone
        sampled = log_evidence(pair.model, pair.guide, split, num_samples=num_samples, **shared)
        evidence = replace(evidence, elbo=sampled.elbo, elbo_stderr=sampled.elbo_stderr)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        moments = posterior_moments(pair.model, pair.guide, split)
        kl = kl_per_dim(pair.model, pair.guide, split)
    return Evaluation(evidence, {site: active_units(mean) for site, (mean, _) in moments.items()}, kl)
