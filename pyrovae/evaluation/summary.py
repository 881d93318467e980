"""What a trained pair is worth: ELBO, log p(x) and accuracy with errors, and how it uses its latent dimensions."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from pyrovae.calls import public
from pyrovae.core.doors import as_pair_and_rows, batches
from pyrovae.core.energies import note_energies
from pyrovae.core.inference import device_of, inference, private_draws
from pyrovae.core.messages import no_density
from pyrovae.core.pair import Pair, PairLike, open_run
from pyrovae.core.program import batch_size as rows_of
from pyrovae.core.program import inputs, modules
from pyrovae.core.step_plan import Plan
from pyrovae.core.steps import StepModel, plain_name
from pyrovae.core.trace import trace_pair
from pyrovae.data import Data, Split, Stream
from pyrovae.distributions import Sentences
from pyrovae.distributions.likelihoods import BagOfWords
from pyrovae.effects.labels import Labelled
from pyrovae.errors import ContractError, OptionError
from pyrovae.evaluation.classification import Classification, classify
from pyrovae.evaluation.features import classify_features
from pyrovae.evaluation.latents import SiteKL, active_units, kl_per_dim, posterior_moments
from pyrovae.evaluation.reconstruction import ReconstructionError, reconstruction_error
from pyrovae.evaluation.topics import Perplexity, num_ends, num_words, of_documents, unigram
from pyrovae.evidence import Evidence, log_evidence
from pyrovae.evidence.evidence import mean_and_error

__all__ = ["Evaluation", "evaluate"]

ROWS_LOOKED_AT = 64  # to find out whether the pair has a density


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The bounds and the latent dimensions of a pair on N data; of one without a density its reconstructions.

    Attributes:
        evidence: log p(x) and the ELBO per datum; None where the pair has no density.
        active_units: for each latent site, which dimensions are active, (d,) booleans.
        kl: for each latent site, the KL of each dimension and of the whole site, nats per datum.
        joint: log p(x, y) per datum, where the pair has a class y and all data a label.
        classification: the guide's classes against the labels, where there are any.
        quantity: what the evidence is of: log p(x), log p(x | c) of what a condition leaves open, log p(x_observed).
        reconstruction: errors of reconstruction, where there is no evidence.
        steps: of each datum, (N,), of a pair in steps or data with ``lengths``: figures a step are totals over totals.
        words: perplexities of sentences or documents, of the pair and of the frequencies of its training data.
        reason: why there is no evidence, or of a model whose guide is a point no ELBO beside it.
    """

    evidence: Evidence | None
    active_units: dict[str, torch.Tensor] = field(default_factory=dict)
    kl: dict[str, SiteKL] = field(default_factory=dict)
    joint: Evidence | None = None
    classification: Classification | None = None
    quantity: str = "log p(x)"
    reconstruction: ReconstructionError | None = None
    reason: str | None = None
    steps: torch.Tensor | None = None
    words: dict[str, Perplexity] = field(default_factory=dict)

    @property
    def elbo(self) -> tuple[float, float]:
        """Mean ELBO and its standard error, nats per datum; ContractError where the pair has no density."""
        if self.evidence is None or self.reason is not None:
            raise ContractError(f"no ELBO: {self.reason}")
        return mean_and_error(self.evidence.elbo)

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON."""
        latent = {
            "active_units": {site: int(active.sum()) for site, active in self.active_units.items()},
            "latent_dims": {site: active.numel() for site, active in self.active_units.items()},
            "kl": {site: kl.total for site, kl in self.kl.items()},
        }
        classified = {} if self.classification is None else self.classification.to_json()
        if self.evidence is None:
            assert self.reconstruction is not None
            return {"log_evidence": None, "reason": self.reason, **self.reconstruction.to_json(), **latent, **classified}
        elbo, elbo_stderr = (None, None) if self.reason is not None else self.elbo
        evidence = self.evidence.to_json()
        return {
            "elbo": elbo,
            "elbo_stderr": elbo_stderr,
            "log_evidence": evidence.pop("mean"),
            "log_evidence_stderr": evidence.pop("mean_stderr"),
            "log_evidence_mc_stderr": evidence.pop("mean_mc_stderr"),
            **evidence,
            **latent,
            "kl_per_dim": {
                s: None if kl.per_dim is None else [round(float(v), 4) for v in kl.per_dim.flatten()]
                for s, kl in self.kl.items()
            },
            "quantity": self.quantity,
            **self._per_step(),
            **{f"perplexity_{name.replace(' ', '_')}": found.to_json() for name, found in self.words.items()},
            **({} if self.joint is None else {"log_joint": self.joint.mean, "log_joint_stderr": self.joint.mean_stderr}),
            **classified,
        }

    def __repr__(self) -> str:
        if self.evidence is None:
            lines = [repr(self.reconstruction), f"no log p(x): {self.reason}"]
        elif self.reason is not None:
            lines = [self._line(self.evidence, self.quantity), f"no ELBO: {self.reason}"]
        else:
            elbo, stderr = self.elbo
            lines = [f"ELBO     = {elbo:.3f} +- {stderr:.3f} nats per datum", self._line(self.evidence, self.quantity)]
        if self.evidence is not None and self.steps is not None:
            told = self._per_step()
            figures = ", ".join(f"{name.removesuffix('_per_step')} {value:.4f}" for name, value in told.items())
            lines.append(f"nats a step, {int(self.steps.sum()):,} steps: {figures}")
        lines += [f"perplexity of the {name}: {found}" for name, found in self.words.items()]
        lines += self._latent_lines()
        if self.joint is not None:
            lines.append(self._line(self.joint, "log p(x, y)"))
        if self.classification is not None:
            lines.append(repr(self.classification))
        return "\n".join(lines)

    def _per_step(self) -> dict[str, float]:
        """The evidence, and the ELBO where there is one, in nats a step, with their errors."""
        if self.steps is None or self.evidence is None:
            return {}
        value, error = self.evidence.per(self.steps)
        found = {"log_evidence_per_step": value, "log_evidence_stderr_per_step": error}
        elbo = {} if self.reason is not None else {"elbo_per_step": float(self.evidence.elbo.sum() / self.steps.sum())}
        return {**elbo, **found}

    def _latent_lines(self) -> list[str]:
        """A line for each latent site, or for all of its steps."""
        together: dict[str, list[str]] = {}
        for site in self.active_units:
            together.setdefault(site if self.steps is None else plain_name(site), []).append(site)
        lines = []
        for name, sites in together.items():
            active = sum(int(self.active_units[site].sum()) for site in sites)
            every = sum(self.active_units[site].numel() for site in sites)
            kl = [self.kl[site].total for site in sites if site in self.kl]
            cost = f", KL {sum(kl):.2f} nats per datum" if kl else ""
            each = f" of {len(sites)} steps" if len(sites) > 1 else ""
            lines.append(f"{name}{each}: {active} of {every} units active{cost}")
        return lines

    @staticmethod
    def _line(evidence: Evidence, quantity: str) -> str:
        return repr(evidence).replace("log p(x)", quantity, 1)


@public()
def evaluate(
    pair: PairLike,
    data: Any = None,
    method: str | None = None,
    *,
    num_samples: int = 1000,
    batch_size: int = 100,
    max_rows: int = 5000,
    seed: int = 0,
    classifier: str | None = None,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    precision: str = "float32",
    compile: bool | None = None,
    **options: Any,
) -> Evaluation:
    """ELBO, log p(x) and the KL of each latent dimension, in nats per datum, with standard errors; active units.

    A pair without a density (a deterministic autoencoder, or an energy of grey pixels) has no log p(x): what is measured is
    its reconstruction of the data, and the reason is said; a ``method`` that is asked for is refused.

    For a pair with a class y, which is summed out of log p(x), also log p(x, y) and the accuracy of the guide's q(y | x) on
    the data's labels.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part. By default that of the
            run's own data.
        method: of :func:`~pyrovae.evidence.log_evidence`: importance (the default), ais, smc, bridge or exact.
        num_samples: K of importance sampling, which gives the ELBO whatever the method.
        batch_size: the most data in one pass.
        max_rows: the most draws x data in one pass, the cap on memory.
        seed: of the samples.
        classifier: of the features of a pair without a class, fitted to the run's labelled training data: logistic, knn,
            svm, self-training or label-spreading (:func:`~pyrovae.evaluation.features.classify_features`).
        progress: show a bar.
        checkpoint: a file from which an interrupted estimate of log p(x) continues.
        precision: of the passes, as for :func:`~pyrovae.evidence.log_evidence`.
        compile: of the passes, as for :func:`~pyrovae.evidence.log_evidence`.
        options: of the method.
    """
    source = open_run(pair, with_data=data is None or classifier is not None)
    pair, split = as_pair_and_rows(source, data, "evaluate")
    reason = _no_density(pair, split)
    shared: dict[str, Any] = {"batch_size": batch_size, "max_rows": max_rows, "seed": seed, "progress": progress}
    shared |= {"precision": precision, "compile": compile}
    evidence, reconstruction = None, None
    if reason is None or method or options:
        evidence = _evidence(pair, split, method or "importance", num_samples, checkpoint, shared, options)
    else:
        reconstruction = reconstruction_error(pair, split)
    with private_draws(seed, device_of(pair.model, pair.guide)):
        moments = posterior_moments(pair, split)
        kl = kl_per_dim(pair, split)
    joint, classification = None, None
    if classifier is not None:
        own = getattr(source, "data", None)
        if not isinstance(own, Data):
            raise OptionError("evaluate: classifier needs a run with its training data; or call classify_features.")
        classification = classify_features(pair, own.train, split, classifier)
    elif "y" in kl and (labels := _labels(split)) is not None and bool((labels >= 0).any()):
        classification = classify(pair, split, seed=seed)
        if evidence is not None and bool((labels >= 0).all()):  # with every y known, none is summed or drawn
            known = Pair(Labelled(pair.model, "model", "sampled"), Labelled(pair.guide, "guide", "sampled"))
            with inference(pair):
                joint = log_evidence(known, split, num_samples=num_samples, **shared)
    active = {site: active_units(mean) for site, (mean, _) in moments.items() if site != "y"}
    quantity = _quantity(pair)
    words = _words(source, pair, split, evidence)
    steps = _steps(pair, split)
    return Evaluation(evidence, active, kl, joint, classification, quantity, reconstruction, reason, steps, words)


def _words(source: Any, pair: Pair, split: Split | Stream, evidence: Evidence | None) -> dict[str, Perplexity]:
    """Perplexities of the pair, and of its training data's frequencies; empty where x is neither words nor a bag of them."""
    if evidence is None or not isinstance(split, Split) or not _scores_words(pair, split):
        return {}
    counts = num_words(split)
    if not bool((counts > 0).any()):
        return {}
    found = {"pair": of_documents(evidence.value, counts, num_ends(split))}
    own = getattr(source, "data", None)
    return found | (
        {"training frequencies": unigram(own.train, split)} if isinstance(own, Data) and isinstance(own.train, Split) else {}
    )


def _scores_words(pair: Pair, split: Split) -> bool:
    """Whether the model's x is a bag of words, or a sentence that ends with word 0."""
    if any(isinstance(part, BagOfWords) for owner in modules(pair.model) for part in owner.modules()):
        return True
    if split.spec.kind != "tokens" or len(split.spec.shape) != 1:
        return False
    some = next(batches(pair, split, 1))
    with inference(pair, seed=0):
        sites = trace_pair(pair.model, pair.guide, some).model_sites
    return split.spec.main in sites and isinstance(sites[split.spec.main]["fn"], Sentences)


def _steps(pair: Pair, split: Split | Stream) -> torch.Tensor | None:
    """How many steps each datum has, (N,); None where the model has none."""
    parts = []
    for batch in split.batches(1000):
        taken = inputs(pair.model, batch)
        if "lengths" in taken and taken["lengths"].dim() == 1:
            parts.append(taken["lengths"].cpu())
        elif isinstance(pair.model, StepModel):
            parts.append(torch.full((rows_of(batch),), Plan(pair.model.own, None, taken).num_steps))
        else:
            return None
    return torch.cat(parts)


def _quantity(pair: Pair) -> str:
    """What the evidence is of, as the model says, or the likelihood in it."""
    owners = [pair.model, *(part for owner in modules(pair.model) for part in owner.modules())]
    return next((owner.quantity for owner in owners if hasattr(owner, "quantity")), "log p(x)")


def _evidence(
    pair: Pair, split: Split | Stream, method: str, num_samples: int, checkpoint: Any, shared: Any, options: Any
) -> Evidence:
    """log p(x) by a method, and the ELBO by importance sampling where the method does not give it."""
    own = {**options, "num_samples": num_samples} if method == "importance" else options
    evidence = log_evidence(pair, split, method=method, checkpoint=checkpoint, **shared, **own)
    # of the methods that do not draw from the guide alone
    if evidence.elbo.isnan().any() and _no_density(pair, split) is None:
        sampled = log_evidence(pair, split, num_samples=num_samples, **shared)
        evidence = replace(evidence, elbo=sampled.elbo, elbo_stderr=sampled.elbo_stderr)
    return evidence


def _no_density(pair: Pair, split: Split | Stream) -> str | None:
    """Why the pair has no log p(x); None where it has one."""
    some = next(batches(pair, split, ROWS_LOOKED_AT))
    with inference(pair, seed=0):
        note_energies(pair.model, some)
        return no_density(trace_pair(pair.model, pair.guide, some))


def _labels(split: Split | Stream) -> torch.Tensor | None:
    """y, (N,), where the data have it."""
    parts = [batch["y"].cpu() for batch in split.batches(1000) if "y" in batch]
    return torch.cat(parts) if parts else None
