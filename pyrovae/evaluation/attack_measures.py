"""What an attack makes small: how far codes, posteriors, reconstructions or classes are from a target's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from pyrovae.core.doors import as_batch
from pyrovae.core.inference import inference
from pyrovae.core.pair import Pair, PairLike, as_pair, known_spec
from pyrovae.core.program import Batch, batch_size, describe
from pyrovae.core.sites import Site, sample_sites
from pyrovae.core.trace import PairTrace, run_program
from pyrovae.data import Data, as_split
from pyrovae.distributions.divergence import analytic_kl
from pyrovae.errors import ContractError, DataError
from pyrovae.generate.expectation import Expectations

__all__ = ["Classifier", "code_classifier", "code_sites", "codes_of", "measure_of"]

ROWS_PER_PASS = 500
Classifier = Callable[[Tensor], Tensor]


def code_sites(pair: Pair, batch: Batch) -> dict[str, Site]:
    """The guide's continuous latent sites, each given the means of those before it."""
    with Expectations():
        sites = sample_sites(run_program(pair.guide, batch))
    found = {n: s for n, s in sites.items() if not s["is_observed"] and s["value"].is_floating_point()}
    found = {n: s for n, s in found.items() if not s["fn"].support.is_discrete}
    if not found:
        raise ContractError(f"{describe(pair.guide)} has no continuous latent site, whose code an attack could move.")
    return found


def codes_of(pair: Pair, batch: Batch) -> Tensor:
    """Means of the continuous sites side by side, (B, D)."""
    return torch.cat([site["value"].flatten(1) for site in code_sites(pair, batch).values()], 1)


def measure_of(
    pair: Pair, goal: Batch, kind: str, classifier: Classifier | None, num_samples: int, seed: int
) -> Callable[[Batch], Tensor]:
    """What is to be small of a batch, (B,)."""
    if kind == "output":
        return lambda batch: _surprise(pair, batch, goal, num_samples, seed)
    if kind == "kl":
        ends = code_sites(pair, goal)
        return lambda batch: _divergence(code_sites(pair, batch), ends)
    if kind == "latent":
        end = codes_of(pair, goal)
        return lambda batch: (codes_of(pair, batch) - end).square().sum(1)
    if "y" not in goal or bool((goal["y"] < 0).any()):
        raise DataError("target has no labels y (or -1 among them), and a classifier is led to the target's class; give them.")
    assert classifier is not None
    return lambda batch: cross_entropy(classifier(codes_of(pair, batch)), goal["y"].long(), reduction="none")


def _divergence(sites: Mapping[str, Site], ends: Mapping[str, Site]) -> Tensor:
    total: Tensor | float = 0.0
    for name, site in sites.items():
        try:
            total = total + analytic_kl(site["fn"], ends[name]["fn"])
        except NotImplementedError as error:
            raise ContractError(f"site {name!r} has no KL in closed form ({error}); use kind='latent'.") from error
    assert isinstance(total, Tensor)
    return total


def _surprise(pair: Pair, batch: Batch, goal: Batch, num_samples: int, seed: int) -> Tensor:
    """-E_q(z | batch)[log p(goal | z)] by the same K draws at each call, (B,)."""
    torch.manual_seed(seed)
    guide = run_program(pair.guide, batch, num_samples)
    model = run_program(pair.model, goal, num_samples, replay=guide)
    traced = PairTrace(model, guide, (num_samples, batch_size(goal)), batch=goal, program=pair.model)
    return -traced.total({name: traced.log_p[name] for name in traced.observed}).mean(0)


def code_classifier(pair: PairLike, data: Any) -> Classifier:
    """Logistic regression from the codes that :func:`attack` moves to classes y, fitted to labelled data.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: with labels y; of a whole Data set the training part.

    Returns:
        A function from codes, (B, d), to logits, (B, C).
    """
    from sklearn.linear_model import LogisticRegression

    pair = as_pair(pair)
    split = as_split(data.train if isinstance(data, Data) else data, known_spec(pair))
    if "y" not in (first := next(iter(split.batches(1)))):
        raise DataError(f"the data have {', '.join(first)} and no labels y, of which a classifier of codes would be.")
    codes, labels = [], []
    with inference(pair):
        for rows in split.batches(ROWS_PER_PASS):
            batch = as_batch(pair, rows)
            codes.append(codes_of(pair, batch).cpu())
            labels.append(batch["y"].cpu())
    x, y = torch.cat(codes).double(), torch.cat(labels)
    spread = x.std(0).max() + 1e-8
    known = y >= 0
    fitted = LogisticRegression(max_iter=2000).fit((x[known] / spread).numpy(), y[known].numpy())
    if len(fitted.classes_) < 3:
        raise DataError(f"y has {len(fitted.classes_)} classes among the labelled rows; expected 3 at least.")
    weight, bias = torch.from_numpy(fitted.coef_) / spread, torch.from_numpy(fitted.intercept_)
    classes = torch.from_numpy(fitted.classes_).long()

    def logits(z: Tensor) -> Tensor:
        found = z.new_full((len(z), int(classes.max()) + 1), -1e4)
        return found.index_copy(1, classes.to(z.device), z @ weight.to(z).T + bias.to(z))

    return logits
