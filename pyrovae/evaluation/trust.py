"""Is a fit to be trusted? Six rules, each a figure against a threshold, and what to do where one is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.pair import open_run
from pyrovae.data import Data, Split
from pyrovae.errors import OptionError
from pyrovae.evaluation.summary import Evaluation, evaluate
from pyrovae.evidence.evidence import KHAT_LIMIT

__all__ = ["Finding", "Verdict", "verdict"]

SCALE = 10.0  # standard deviations of real columns lie between 1 / SCALE and SCALE
COLLAPSED = 0.01  # nats of KL, below which a whole latent site says nothing of x
FALLEN = 0.01  # of |bound|: how far the validation bound may have fallen from its best
RISING = 0.005  # of |bound|: how much the last tenth of the epochs may still have gained
UNSURE = 0.1  # of the data, whose k-hat may be above 0.7
LOST = 0.25  # of the KL: how far the ELBO may lie below log p(x)
ROWS, SAMPLES = 200, 200


@dataclass(frozen=True)
class Finding:
    """What one rule found.

    Attributes:
        rule: scale, collapse, overfit, k-hat, gap or early stop.
        kept: whether the fit keeps it; None where it cannot be asked of this run.
        figure: what was measured, in words.
        advice: what to do where it is broken.
    """

    rule: str
    kept: bool | None
    figure: str
    advice: str = ""


@dataclass(frozen=True, repr=False)
class Verdict:
    """The findings of the six rules; printed, one sentence."""

    findings: tuple[Finding, ...]

    @property
    def trusted(self) -> bool:
        """Whether no rule is broken."""
        return not self.broken

    @property
    def broken(self) -> tuple[Finding, ...]:
        """The findings against the fit, in the order in which they are to be mended."""
        return tuple(finding for finding in self.findings if finding.kept is False)

    def __getitem__(self, rule: str) -> Finding:
        return next(finding for finding in self.findings if finding.rule == rule)

    def __repr__(self) -> str:
        asked = [finding.rule for finding in self.findings if finding.kept is not None]
        if self.trusted:
            return f"Nothing speaks against this fit (asked: {', '.join(asked)})."
        first, *others = self.broken
        also = f"; then look at {', '.join(each.rule for each in others)}" if others else ""
        return f"Do not trust this fit yet: {first.figure}; {first.advice}{also}."

    def to_json(self) -> dict[str, Any]:
        """All findings as JSON."""
        return {
            finding.rule: {"kept": finding.kept, "figure": finding.figure, "advice": finding.advice}
            for finding in self.findings
        }


@public()
def verdict(run: Any, evaluation: Evaluation | None = None, *, seed: int = 0) -> Verdict:
    """Whether to trust a fit, and what to do next, by six rules in the order in which they are to be mended.

    | rule | broken where |
    |---|---|
    | scale | a real column of the training x has a standard deviation above 10 or below 0.1 |
    | early stop | training ended under the warmup of the KL, or the last tenth of the epochs still gained 0.5% of the bound |
    | overfit | the validation bound at the run's parameters is 1% of itself below its best |
    | collapse | a latent site has a KL of less than 0.01 nats |
    | k-hat | more than 10% of the data have k-hat > 0.7 in importance sampling |
    | gap | the ELBO lies further below log p(x) than a quarter of the KL |

    A constant column is no column of another scale. What a run does not have (validation data, a density) is not asked.

    Args:
        run: a Run, or a run's folder.
        evaluation: of :func:`pyrovae.evaluate`, of importance sampling; by default it is made here, of 200 rows of the test
            data (or of validation data, or of the training data) and 200 samples.
        seed: of the samples.

    Raises:
        OptionError: what is no run, or an evaluation by another method.
    """
    run = open_run(run, with_data=True)
    if not hasattr(run, "records"):
        raise OptionError(f"run is a {type(run).__name__}; expected a Run or a run's folder, whose training is judged too.")
    if evaluation is None:
        evaluation = _evaluated(run, seed)
    elif not isinstance(evaluation, Evaluation):
        raise OptionError(f"evaluation is {evaluation!r}; expected what pyrovae.evaluate returns, or None.")
    elif evaluation.evidence is not None and evaluation.evidence.method != "importance":
        raise OptionError(
            f"evaluation is by {evaluation.evidence.method}; expected one by importance sampling, whose weights are judged."
        )
    asked: list[Callable[[Any, Evaluation], Finding]] = [_scale, _early_stop, _overfit, _collapse, _khat, _gap]
    return Verdict(tuple(rule(run, evaluation) for rule in asked))


def _evaluated(run: Any, seed: int) -> Evaluation:
    """The evaluation of a few rows that training has not seen, where there are any."""
    if not isinstance(run.data, Data):
        raise OptionError("the run was trained on data from memory; load it with data=..., or give an evaluation.")
    part = run.data.test or run.data.valid or run.data.train
    if isinstance(part, Split):
        part = part.subset(torch.arange(min(ROWS, len(part))))
    return evaluate(run, part, num_samples=SAMPLES, seed=seed)


# ------------------------------------------------------------------------------------------------ the rules
def _scale(run: Any, evaluation: Evaluation) -> Finding:
    """Columns of one order of magnitude, which a likelihood of unit scale and Adam's steps expect."""
    data = run.data
    if data is None or "x" not in data.spec.keys or data.spec.keys["x"].kind != "real" or not isinstance(data.train, Split):
        return Finding("scale", None, "x has no real columns at hand")
    x: Tensor = data.train["x"].flatten(1).double()
    spread = x.nan_to_num().std(0) if len(x) > 1 else x.new_ones(x.shape[1])
    spread = spread[spread > 0]
    if not len(spread):
        return Finding("scale", None, "all columns of x are constant")
    low, high = float(spread.min()), float(spread.max())
    figure = f"the standard deviations of x's columns go from {low:.3g} to {high:.3g}"
    kept = low >= 1 / SCALE and high <= SCALE
    return Finding("scale", kept, figure, "load the data with transforms=['standardize']")


def _early_stop(run: Any, evaluation: Evaluation) -> Finding:
    """Enough training."""
    if run.step < run.warm_from:
        figure = f"training ended at step {run.step}, under the warmup of the KL, which ends at step {run.warm_from}"
        return Finding("early stop", False, figure, "train longer than kl_warmup, or shorten it")
    bounds = _bounds(run)
    recent = max(1, len(bounds) // 10)
    if len(bounds) < 2 * recent + 1 or run.stopped == "early":
        return Finding("early stop", True if run.stopped == "early" else None, "training ended by early stopping or is short")
    gained = max(bounds[-recent:]) - max(bounds[:-recent])
    share = gained / max(abs(bounds[-1]), 1e-12)
    figure = f"the last {recent} of {len(bounds)} epochs still gained {gained:.3g} nats"
    return Finding("early stop", share <= RISING, figure, "train on: pyrovae resume with more epochs")


def _overfit(run: Any, evaluation: Evaluation) -> Finding:
    """A validation bound that has not fallen."""
    valid = [row["valid"] for row in run.records if row.get("valid") is not None and row["step"] >= run.warm_from]
    if len(valid) < 2:
        return Finding("overfit", None, "no validation bound was measured")
    fallen = 0.0 if run.weights == "best" else max(valid) - valid[-1]
    figure = f"the validation bound is {fallen:.3g} nats below its best"
    advice = "take the best epoch's parameters (early_stopping, or weights='best'), or a smaller network"
    return Finding("overfit", fallen <= FALLEN * abs(max(valid)), figure, advice)


def _collapse(run: Any, evaluation: Evaluation) -> Finding:
    """Latent variables that say something of x."""
    kl = {site: found.total for site, found in evaluation.kl.items() if site != "y"}
    if not kl:
        return Finding("collapse", None, "no latent site has a KL")
    site = min(kl, key=kl.__getitem__)
    figure = f"the KL of site {site!r} is {kl[site]:.3g} nats"
    return Finding(
        "collapse", kl[site] >= COLLAPSED, figure, "warm the KL up (kl_warmup), give free_bits, or a weaker decoder"
    )


def _khat(run: Any, evaluation: Evaluation) -> Finding:
    """Importance weights whose mean can be believed."""
    evidence = evaluation.evidence
    if evidence is None or not bool(evidence.khat.isfinite().any()):
        return Finding("k-hat", None, "there are no importance weights")
    share = float((evidence.khat > KHAT_LIMIT).double().mean())
    figure = (
        f"k-hat is above {KHAT_LIMIT} for {100 * share:.0f}% of the data, so that log p(x) by importance sampling is too low"
    )
    return Finding("k-hat", share <= UNSURE, figure, "evaluate by method='ais', or with more samples")


def _gap(run: Any, evaluation: Evaluation) -> Finding:
    """A guide near the posterior."""
    evidence = evaluation.evidence
    kl = sum(found.total for found in evaluation.kl.values())
    if evidence is None or evaluation.reason is not None or kl < COLLAPSED:
        return Finding("gap", None, "there is no ELBO beside log p(x), or no KL")
    lost = evidence.mean - float(evidence.elbo.mean())
    figure = f"the ELBO is at least {lost:.3g} nats below log p(x), beside a KL of {kl:.3g}"
    return Finding("gap", lost <= LOST * kl, figure, "see pyrovae gaps; a richer guide (flows) or more training of it")


def _bounds(run: Any) -> list[float]:
    """The bound of each epoch from the end of the warmup on, of validation data where it was measured."""
    rows = [row for row in run.records if row["step"] >= run.warm_from]
    valid = [row["valid"] for row in rows if row.get("valid") is not None]
    return valid if len(valid) == len(rows) else [row["train"] for row in rows if row.get("train") is not None]
