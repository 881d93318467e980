"""The disentanglement of a trained pair: all metrics of its codes in one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from pyrovae.calls import public
from pyrovae.core.doors import as_batch
from pyrovae.core.inference import inference
from pyrovae.core.pair import Pair, PairLike, as_pair, known_spec, open_run
from pyrovae.core.trace import trace_pair
from pyrovae.data import Data, DataSpec, Split, as_split
from pyrovae.distributions.supports import is_discrete
from pyrovae.errors import ContractError, DataError, OptionError, nearest
from pyrovae.evaluation.aggregate import AggregatePosterior, aggregate_posterior
from pyrovae.evaluation.disentanglement.arrays import Known, Score, known
from pyrovae.evaluation.disentanglement.explicit import explicitness
from pyrovae.evaluation.disentanglement.importance import dci
from pyrovae.evaluation.disentanglement.interventions import beta_vae_score, factor_vae_score, irs
from pyrovae.evaluation.disentanglement.mutual import mig_binned, mig_of, modularity
from pyrovae.evaluation.disentanglement.separation import sap
from pyrovae.evaluation.disentanglement.unsupervised import gaussian_tc, pairwise_information, wasserstein_dependence
from pyrovae.evaluation.latents import posterior_moments

__all__ = ["Disentanglement", "disentanglement_scores"]

RESERVED = ("index", "lengths", "observed", "mask", "condition", "source", "group")


@dataclass(frozen=True, repr=False)
class Disentanglement:
    """The metrics of the codes of a pair against the factors of its data.

    Attributes:
        scores: each with its definition, error and ceiling.
        posterior: mutual information and total correlation, in nats, under the mixture of all encoders; None for a ``reason``.
        reason: why there is no mixture, and so no MIG of drawn codes.
        factors: the names of the factors.
        left_out: factors of one value in all rows.
        num_data: N.
        active: (d,) of bool, which codes have posterior means of a standard deviation above 0.05.
    """

    scores: tuple[Score, ...]
    posterior: AggregatePosterior | None
    reason: str | None
    factors: tuple[str, ...]
    left_out: tuple[str, ...]
    num_data: int
    active: torch.Tensor

    def __getitem__(self, name: str) -> Score:
        """The score of a name."""
        found = {score.name: score for score in self.scores}
        if name not in found:
            raise nearest("metric", name, found)
        return found[name]

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON."""
        rows = {
            score.name: {
                "value": score.value,
                "standard_error": score.standard_error,
                "ceiling": score.ceiling,
                "definition": score.definition,
                "parts": dict(score.parts),
            }
            for score in self.scores
        }
        own = {} if self.posterior is None else {k: v._asdict() for k, v in self._figures().items()}
        about = {"num_data": self.num_data, "factors": list(self.factors), "left_out": list(self.left_out)}
        return {**about, "active_units": int(self.active.sum()), "reason": self.reason, "scores": rows, **own}

    def _figures(self) -> dict[str, Any]:
        assert self.posterior is not None
        return {name: getattr(self.posterior, name) for name in ("mutual_information", "total_correlation", "dimension_kl")}

    def __repr__(self) -> str:
        out = f" ({', '.join(self.left_out)} has one value and is left out)" if self.left_out else ""
        lines = [
            f"{self.num_data} data of {len(self.factors)} factors: {', '.join(self.factors)}{out}; "
            f"{int(self.active.sum())} of {len(self.active)} codes active",
            "codes are posterior means, but for MIG and the last line, which are of draws",
            f"{'metric':<34} {'value':>8} {'error':>8} {'ceiling':>8}  definition",
        ]
        for score in self.scores:
            figures = f"{score.value:8.4f} {score.standard_error:8.4f} {score.ceiling:8.4f}"
            lines.append(f"{score.name:<34} {figures}  {score.definition}")
        if self.posterior is None:
            lines.append(f"no MIG of drawn codes, mutual information or total correlation: {self.reason}")
        else:
            lines.append(repr(self.posterior))
        return "\n".join(lines)


@public()
def disentanglement_scores(
    pair: PairLike,
    data: Any = None,
    factors: Sequence[str] | None = None,
    site: str | None = None,
    *,
    num_data: int = 10_000,
    num_draws: int = 2_000,
    num_votes: int = 10_000,
    importance: str | None = "boosting",
    seed: int = 0,
) -> Disentanglement:
    """All metrics of a pair's codes against the known factors of its data, in one table.

    Codes are the means E[z | x_n] under q of all continuous latent sites side by side, but for MIG and the parts of the KL
    (nats per datum), which are of draws under the mixture of all N encoders. Figures of different definitions do not compare.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: in any form that :func:`pyrovae.data.load` takes, with a key of whole numbers for each factor; of a whole Data
            set, and by default of the run's own, all parts, as no metric looks at how it was trained.
        factors: the keys that are factors; by default all of one whole number but those that mean something else.
        site: the latent site; by default all continuous ones.
        num_data: N, at most; drawn at random where there are more.
        num_draws: of z, for what is under the mixture.
        num_votes: of the beta-VAE and the FactorVAE score; half as many are held out.
        importance: of DCI: boosting (minutes where there are 10,000 data), forest, lasso, or None for no DCI.
        seed: of the rows and of all draws.

    Raises:
        DataError: no such factors, too few rows.
        OptionError: an unknown site or factor.

    >>> from pyrovae.data import load
    >>> from pyrovae.pairs import vae
    >>> factors = torch.arange(64).unsqueeze(1) // torch.tensor([1, 2]) % 2
    >>> data = load({"x": torch.rand(64, 5), "left": factors[:, 0], "right": factors[:, 1]})
    >>> disentanglement_scores(vae(data.spec, latent_dim=2), data, importance=None)["MIG, binned"].ceiling
    1.0
    """
    source = open_run(pair, with_data=data is None)
    pair = as_pair(source)
    batch, spec = _rows(pair, source, data, num_data, seed)
    names = _factor_keys(batch, spec, factors)
    constant = tuple(name for name in names if batch[name].min() == batch[name].max())
    names = [name for name in names if name not in constant]
    if len(names) < 2:
        raise DataError(
            f"data have the factors {', '.join(names) or 'none'}; expected two at least, keys of one whole number a row that "
            "vary: give them as keys beside x, or name them by factors=[...]."
        )
    values = {name: batch[name].cpu().numpy() for name in names}
    sites = _sites(pair, batch, site)
    moments = posterior_moments(pair, batch)
    means = torch.cat([moments[name].mean.flatten(1) for name in sites], 1)
    checked = known(means, values, least=2)
    nominal = [name for name in names if name in spec.keys and spec.keys[name].kind == "category"]
    scores = _scores(checked, nominal, num_votes, importance, seed)
    posterior, reason = None, None
    try:
        posterior = aggregate_posterior(pair, batch, num_rows=num_draws, seed=seed)
        scores = [_mixture(pair, batch, sites, checked, num_draws, seed), *scores]
    except ContractError as error:
        reason = str(error)
    active = torch.from_numpy(checked.codes.std(0) > 0.05)
    return Disentanglement(tuple(scores), posterior, reason, tuple(names), constant, len(means), active)


def _scores(data: Known, nominal: list[str], num_votes: int, importance: str | None, seed: int) -> list[Score]:
    """The metrics of codes alone."""
    codes, factors = data.codes, dict(zip(data.names, data.values.T, strict=True))
    votes: dict[str, Any] = {"num_train": num_votes, "num_test": max(1, num_votes // 2), "seed": seed}
    scores = [mig_binned(codes, factors, seed=seed)]
    ordered = {name: values for name, values in factors.items() if name not in nominal}
    if nominal and ordered:
        without = mig_binned(codes, ordered, seed=seed)
        scores.append(replace(without, name=f"MIG, binned, without {', '.join(nominal)}"))
    if codes.shape[1] > 1 and importance is not None:
        definition = "locatello2019" if importance == "boosting" else "eastwood2018"
        scores += dci(codes, factors, importance, definition=definition, seed=seed).values()
    scores += [sap(codes, factors, nominal, seed=seed), sap(codes, factors, definition="locatello2019", seed=seed)]
    scores += [modularity(codes, factors, seed=seed), modularity(codes, factors, definition="locatello2019", seed=seed)]
    scores += [explicitness(codes, factors, seed=seed), irs(codes, factors, seed=seed)]
    scores += [beta_vae_score(codes, factors, **votes), factor_vae_score(codes, factors, **votes)]
    scores += [gaussian_tc(codes, seed=seed), wasserstein_dependence(codes, seed=seed), pairwise_information(codes, seed=seed)]
    again: set[str] = set()
    named = []
    for score in scores:  # a second definition of a metric goes by both names
        named.append(replace(score, name=f"{score.name}, {score.definition}") if score.name in again else score)
        again.add(score.name)
    return named


def _mixture(pair: Pair, batch: Any, sites: list[str], data: Known, num_draws: int, seed: int) -> Score:
    with inference(pair, seed=seed):
        traced = trace_pair(pair.model, pair.guide, as_batch(pair, batch), enumerate_sites=False)
        return mig_of(traced, sites, data, num_draws, "mixture", seed)


def _rows(pair: Pair, source: Any, data: Any, num: int, seed: int) -> tuple[dict[str, torch.Tensor], DataSpec]:
    """At most so many rows, drawn at random from all parts of a data set, as one batch."""
    whole = getattr(source, "data", None) if data is None else data
    if whole is None:
        raise OptionError("disentanglement_scores needs data; give data=..., as in disentanglement_scores(pair, data).")
    parts = [part for part in whole.parts().values() if part is not None] if isinstance(whole, Data) else None
    splits: list[Any] = [as_split(whole, known_spec(pair))] if parts is None else parts
    for split in splits:
        if not isinstance(split, Split):
            raise DataError(f"data came as a {type(split).__name__}; expected numbered rows: pass the Dataset itself.")
    ends = np.cumsum([len(split) for split in splits])
    chosen = np.sort(np.random.default_rng(seed).permutation(int(ends[-1]))[:num])
    taken = []
    for split, end in zip(splits, ends, strict=True):
        own = chosen[(chosen >= end - len(split)) & (chosen < end)] - (end - len(split))
        taken += [split[torch.from_numpy(own[start : start + 500])] for start in range(0, len(own), 500)]
    return {key: torch.cat([batch[key] for batch in taken]) for key in taken[0]}, splits[0].spec


def _factor_keys(batch: dict[str, torch.Tensor], spec: DataSpec, told: Sequence[str] | None) -> list[str]:
    """The keys of one whole number that vary by a factor."""
    able = [key for key, value in batch.items() if value.dim() == 1 and key not in RESERVED and key != spec.main]
    for name in told or ():
        if name not in able:
            raise nearest("factor in factors", str(name), able)
    if told is not None:
        return list(told)
    return [key for key in able if not batch[key].is_floating_point()]


def _sites(pair: Pair, batch: Any, told: str | None) -> list[str]:
    """The latent sites that codes are read from."""
    some = {key: value[:2] for key, value in batch.items()}
    with inference(pair, seed=0):
        traced = trace_pair(pair.model, pair.guide, as_batch(pair, some), enumerate_sites=False)
    able = [name for name, site in traced.guide_sites.items() if not is_discrete(site["fn"])]
    if told is not None and told not in able:
        raise nearest("continuous latent site", told, able)
    if not able:
        raise ContractError("the guide has no continuous latent site, so there are no codes to hold against factors.")
    return able if told is None else [told]
