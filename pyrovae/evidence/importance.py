"""log p(x) by importance sampling from the guide, streamed over data and samples."""

from __future__ import annotations

import math
from typing import Any

import pyro
import torch
from torch import Tensor
from tqdm import tqdm

from pyrovae.check import find_non_finite
from pyrovae.data import as_split
from pyrovae.distributions import is_density
from pyrovae.errors import ContractError, NonFiniteError, OptionError
from pyrovae.evidence.evidence import Evidence
from pyrovae.modes import device_of, evaluating
from pyrovae.pair import Program, remember, running
from pyrovae.trace import PairTrace, trace_pair, unknown_sites

__all__ = ["log_evidence"]

ROWS = 5000  # particles x data in one pass: keeps activations in cache, measured best of 500 to 50,000 on 2 cores


class _Weights:
    """Running sums of K log weights per datum: their maximum m, sum e^(w - m), sum e^(2(w - m)), sum w; in float64."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.top = torch.full((size,), -math.inf, dtype=torch.float64, device=device)
        self.first, self.second, self.logs = (torch.zeros_like(self.top) for _ in range(3))
        self.count = 0

    def add(self, log_weight: Tensor) -> None:
        log_weight = log_weight.double()
        top = torch.maximum(self.top, log_weight.amax(0))
        safe = torch.where(top.isinf(), torch.zeros_like(top), top)
        old = (self.top - safe).exp()
        new = (log_weight - safe).exp()
        self.first = self.first * old + new.sum(0)
        self.second = self.second * old.square() + new.square().sum(0)
        self.logs = self.logs + log_weight.sum(0)
        self.top = top
        self.count += len(log_weight)

    def result(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        value = self.top + self.first.log() - math.log(self.count)
        ess = self.first.square() / self.second
        # delta method: sd(log mean w) = sd(w) / (sqrt(K) mean w), with the unbiased variance of K weights
        variance = (1 / ess - 1 / self.count).clamp_min(0) * self.count / max(self.count - 1, 1)
        stderr = variance.sqrt() if self.count > 1 else torch.full_like(value, math.nan)
        return value, stderr, ess, self.logs / self.count


@torch.no_grad()
def log_evidence(
    model: Program,
    guide: Program,
    data: Any,
    *,
    num_samples: int = 1000,
    batch_size: int = 100,
    method: str = "importance",
    seed: int = 0,
    progress: bool = False,
) -> Evidence:
    """log p(x_b) ~ log (1/K) sum_k p(x_b, z_kb) / q(z_kb | x_b), z_kb ~ q(z | x_b): a lower bound in expectation.

    Exactly K samples a datum, whatever the chunks; memory does not grow with K. The modules are in evaluation mode and the
    caller's random state is left as it was.

    Args:
        model, guide: the two programs.
        data: a split (``data.test``), a dict of tensors with N rows, a tensor x, or a DataLoader.
        num_samples: K.
        batch_size: data in one pass.
        method: "importance".
        seed: of the samples.
        progress: show a bar with the remaining time.

    Returns:
        :class:`Evidence`, per datum, in nats.

    Raises:
        ContractError: the likelihood is no density, or the pair breaks the contract.
        NonFiniteError: names the site and row where a log density is NaN, or a datum all of whose weights are zero.

    References: Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2016, Eq. (8); Rezende, Mohamed and
    Wierstra, Stochastic Backpropagation, 2014.

    >>> from pyrovae import data, pairs
    >>> digits = data.load("digits")
    >>> pair = pairs.linear_gaussian(digits.spec, latent_dim=2)
    >>> estimate = log_evidence(pair.model, pair.guide, digits.test, num_samples=2)
    >>> bool((estimate.value - pair.model.log_evidence(digits.test["x"])).abs().max() < 0.01)
    True
    """
    if method != "importance":
        raise OptionError(f"method is {method!r}; this version estimates the evidence by 'importance'.")
    if num_samples < 1 or batch_size < 1:
        raise OptionError(f"num_samples is {num_samples}, batch_size {batch_size}; both must be at least 1.")
    split = as_split(data)
    device = device_of(model, guide)
    chunk = max(1, ROWS // batch_size)
    parts: list[tuple[Tensor, ...]] = []
    bar = tqdm(total=len(split), unit="datum", disable=None if progress else True, desc="log p(x)", leave=False)
    devices = [device.index or 0] if device.type == "cuda" else []
    with (
        running(model, guide),
        evaluating(model, guide),
        torch.random.fork_rng(devices=devices),
        bar,
        pyro.validation_enabled(False),
    ):
        torch.manual_seed(seed)
        for batch in split.batches(batch_size):
            batch = {key: value.to(device) for key, value in batch.items()}
            size = len(next(iter(batch.values())))
            weights = _Weights(size, device)
            while weights.count < num_samples:
                traced = trace_pair(model, guide, batch, min(chunk, num_samples - weights.count))
                if not parts and weights.count == 0:
                    _check(model, guide, traced)
                    remember(model, batch)
                _check_weights(traced, weights.count)
                weights.add(traced.log_weight)
            parts.append(tuple(t.cpu() for t in weights.result()))
            if bool(torch.isinf(parts[-1][0]).any()):
                row = int(torch.isinf(parts[-1][0]).nonzero()[0]) + sum(len(p[0]) for p in parts[:-1])
                raise NonFiniteError(
                    f"all {num_samples} weights of datum {row} are zero: the model gives it no density anywhere that the "
                    "guide draws; check the supports of the two programs there."
                )
            bar.update(size)
    if not parts:
        raise ContractError("the data are empty: no evidence to estimate.")
    value, stderr, ess, elbo = (torch.cat(column) for column in zip(*parts, strict=True))
    return Evidence(value, stderr, ess, elbo, num_samples)


def _check(model: Program, guide: Program, traced: PairTrace) -> None:
    if message := unknown_sites(model, guide, traced):
        raise ContractError(message)
    for name, site in traced.model_sites.items():
        if not is_density(site["fn"]):
            raise ContractError(
                f"site {name!r} is an energy ({type(site['fn']).__name__} of grey pixels), not a density, so the pair has no "
                "log p(x); binarize the data, or use likelihood 'continuous-bernoulli', 'gaussian' or "
                "'discretized-logistic'."
            )


def _check_weights(traced: PairTrace, count: int) -> None:
    log_weight = traced.log_weight
    if bool((log_weight.isnan() | (log_weight == math.inf)).any()):
        raise NonFiniteError(f"after {count} samples: {find_non_finite(traced)}")
