"""Posterior, predictions and pointwise likelihood of a pair as ArviZ's InferenceData."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Collection, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.admission import Admission
from pyrovae.core.doors import as_pair_and_rows
from pyrovae.core.inference import inference
from pyrovae.core.joint import readers
from pyrovae.core.keys import drawn_keys
from pyrovae.core.messages import mismatch_message
from pyrovae.core.pair import Pair, PairLike, known_spec
from pyrovae.core.program import Batch, batch_size, inputs
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import PairTrace, latents_trace, run_program, trace_pair
from pyrovae.data import Split, Stream
from pyrovae.distributions.density import is_density, is_factor
from pyrovae.errors import ContractError, OptionError, RunError
from pyrovae.evidence.weights import import_arviz
from pyrovae.files import require_writable, temporary_beside
from pyrovae.generate.ancestral import sample
from pyrovae.generate.whole_keys import part_of_key

if TYPE_CHECKING:
    import arviz

__all__ = ["resample", "to_arviz", "write_netcdf"]

log = logging.getLogger("pyrovae")

ROWS_PER_PASS = 5000  # particles x data in one pass
RESERVED = ("chain", "draw", "data")  # dimensions
POOL_FACTOR = 20  # guide draws for each resampled one


@public()
def to_arviz(
    pair: PairLike,
    data: Any = None,
    num_samples: int = 100,
    num_chains: int = 4,
    num_data: int = 100,
    resample: bool = True,
    seed: int = 0,
) -> arviz.InferenceData:
    """z ~ p(z | x_b) by sampling importance resampling (or z ~ q(z | x_b)), with all that ArviZ reads beside it.

    Groups, with dimensions (chain, draw, data, <event>) unless said otherwise: ``posterior`` (the latent sites);
    ``posterior_predictive`` (draws of the observed sites given them); ``log_likelihood`` (log p(x_b | z), nats, one
    variable an observed site; left out where the likelihood is an energy and no density); ``sample_stats``
    (``log_weight`` = log p(x_b, z) - log q(z | x_b), and with ``resample`` the pool's effective sample size ``ess``,
    (chain, data)); ``observed_data`` (data, <event>); ``prior`` and ``prior_predictive`` (chain, draw, <event>). Chains
    are independent groups of draws. The coordinate ``data`` holds row numbers of the data.

    ``arviz.loo`` then treats the networks' parameters as known and z as free for each datum, so expect many Pareto k
    above 0.7; for a model's score use ``pyrovae.evidence``.

    Serves ArviZ 0.18 up to, not including, 1.0, which replaced InferenceData by xarray's DataTree.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part. By default that of the
            run's own data.
        num_samples: draws a chain.
        num_chains: how many chains.
        num_data: of so many rows, a seeded random subset where there are more.
        resample: draw from a pool of 20 ``num_samples`` guide draws a chain with weights p(x, z) / q(z | x), so that
            draws target p(z | x); otherwise they are the guide's.
        seed: of the draws; the caller's random state is left as it was.

    Raises:
        PyrovaeError: ArviZ is too new.
        OptionError: a count below one, or no data.
        ContractError: the pair breaks the contract.

    References: Rubin, Using the SIR Algorithm to Simulate Posterior Distributions, 1988; Vehtari, Gelman and Gabry,
    Practical Bayesian Model Evaluation Using Leave-One-Out Cross-Validation and WAIC, 2017.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> pair = vae(DataSpec("toy", (4, 4), "real"), latent_dim=2)
    >>> dict(to_arviz(pair, torch.randn(5, 4, 4), num_samples=10, num_chains=2).posterior["z"].sizes)
    {'chain': 2, 'draw': 10, 'data': 5, 'z_dim': 2}
    """
    arviz = import_arviz()
    for option, value in (("num_samples", num_samples), ("num_chains", num_chains), ("num_data", num_data)):
        if value < 1:
            raise OptionError(f"{option} is {value}; expected at least 1.")
    pair, split = as_pair_and_rows(pair, data, "to_arviz")
    rows, batch = _rows(split, num_data, seed)
    with inference(pair, seed=seed):
        batch = Admission(pair)(batch)
        chains = [_chain(pair, batch, num_samples, resample) for _ in range(num_chains)]
        prior = _prior(pair, batch, num_samples, num_chains)
    observed = list(chains[0]["posterior_predictive"])
    groups = {
        name: {key: torch.stack([chain[name][key] for chain in chains]) for key in chains[0][name]}
        for name in chains[0]
        if chains[0][name]
    }
    groups["prior"] = {key: value for key, value in prior.items() if key not in observed}
    groups["prior_predictive"] = {key: value for key, value in prior.items() if key in observed}
    groups["observed_data"] = _observed(pair, batch, observed, chains[0]["posterior_predictive"])
    named = _variables({name for values in groups.values() for name in values})
    observed = [named[name] for name in observed]
    groups = {group: {named[name]: value for name, value in values.items()} for group, values in groups.items()}
    attrs = _attrs(pair, num_samples, resample)
    spec = known_spec(pair)
    classes = {named.get(key, key): each.labels for key, each in ({} if spec is None else spec.keys).items() if each.labels}
    return arviz.InferenceData(
        attrs=attrs,
        **{name: _dataset(name, values, observed, rows, attrs, classes) for name, values in groups.items() if values},
    )


def _observed(pair: Pair, batch: Batch, names: Collection[str], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The data of observed sites, (B, *event): a key of that name, or the values of a key that they are given."""
    sources = drawn_keys(pair.model, batch, given=batch)
    found = {
        name: batch[name] if name in batch else part_of_key(batch, sources[name], tuple(like[name].shape[2:]))
        for name in names
        if name in batch or name in sources
    }
    return {name: value for name, value in found.items() if value is not None}


def write_netcdf(idata: arviz.InferenceData, path: str | os.PathLike[str]) -> Path:
    """Write an InferenceData as netCDF, whole or not at all.

    Raises:
        RunError: the folder does not exist or cannot be written.
    """
    path = Path(path)
    require_writable(path)
    with temporary_beside(path) as temporary:
        try:
            idata.to_netcdf(str(temporary))
        except (RuntimeError, ValueError) as error:  # HDF5's own
            raise RunError(f"cannot write {path}: {error}.") from error
    return path


def resample(log_weight: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
    """Indices k ~ softmax_k(log_weight[k, b]), (num_samples, B), and effective sample sizes (sum w)^2 / sum w^2, (B,).

    Args:
        log_weight: (K, B), nats.
        num_samples: indices for each datum.

    >>> resample(torch.tensor([[0.0], [-200.0]]), 3)[0].flatten()
    tensor([0, 0, 0])
    """
    weight = torch.softmax(log_weight.double(), 0)
    return torch.multinomial(weight.T, num_samples, replacement=True).T, 1 / weight.square().sum(0)


def _chain(pair: Pair, batch: Batch, num_samples: int, resampled: bool) -> dict[str, dict[str, Tensor]]:
    """The groups of one chain; variables are (S, B, *event)."""
    latents, log_weight = _pool(pair, batch, num_samples * (POOL_FACTOR if resampled else 1))
    stats = {}
    if resampled:
        index, stats["ess"] = resample(log_weight, num_samples)
        log_weight = log_weight.gather(0, index)
        columns = torch.arange(index.shape[1], device=index.device)
        latents = {name: z[index, columns] for name, z in latents.items()}
    stats["log_weight"] = log_weight
    predictive: dict[str, list[Tensor]] = {}
    scores: dict[str, list[Tensor]] = {}
    reading = readers(pair.model, batch, drawn_keys(pair.model, batch, given=batch), {n: z[0] for n, z in latents.items()})
    for name, key in reading.items():
        log.warning("site %r reads %r, whose values it gives: it is left out of the posterior predictive.", name, key)
    step = max(1, ROWS_PER_PASS // batch_size(batch))
    for start in range(0, num_samples, step):
        part = {name: z[start : start + step] for name, z in latents.items()}
        size = min(step, num_samples - start)
        shape = (size, batch_size(batch))
        model = run_program(pair.model, batch, size, replay=latents_trace(part))
        traced = PairTrace(model, model, shape)
        for name in traced.observed:
            fn = traced.model_sites[name]["fn"]
            if name not in reading and not is_factor(fn):
                predictive.setdefault(name, []).append(_small(fn.sample()))
            if is_density(fn):
                scores.setdefault(name, []).append(traced.log_p[name])
    return {
        "posterior": latents,
        "posterior_predictive": {name: torch.cat(parts) for name, parts in predictive.items()},
        "log_likelihood": {name: torch.cat(parts) for name, parts in scores.items()},
        "sample_stats": stats,
    }


def _pool(pair: Pair, batch: Batch, size: int) -> tuple[dict[str, Tensor], Tensor]:
    """Guide draws (K, B, *event) of each latent site and their log weights (K, B)."""
    step = max(1, ROWS_PER_PASS // batch_size(batch))
    draws, weights = [], []
    for start in range(0, size, step):
        traced = trace_pair(pair.model, pair.guide, batch, min(step, size - start), enumerate_sites=False)
        if message := mismatch_message(pair.model, pair.guide, traced):
            raise ContractError(message)
        draws.append(traced.latents)
        weights.append(traced.log_weight)
    return {name: torch.cat([part[name] for part in draws]) for name in draws[0]}, torch.cat(weights)


def _prior(pair: Pair, batch: Batch, num_samples: int, num_chains: int) -> dict[str, Tensor]:
    """Ancestral draws (chain, draw, *event); covariates are those of random rows of the batch."""
    n = num_samples * num_chains
    rows = torch.randint(batch_size(batch), (n,), device=next(iter(batch.values())).device)
    drawn = sample(pair, n, like={key: value[rows] for key, value in inputs(pair.model, batch).items()})
    sites = sample_sites(run_program(pair.model, batch))
    return {n: _small(value).unflatten(0, (num_chains, num_samples)) for n, value in drawn.items() if n in sites}


def _rows(split: Split | Stream, num_data: int, seed: int) -> tuple[np.ndarray, Batch]:
    """Row numbers and their batch: a random subset, since data sets are often sorted; of a stream, its first rows."""
    if isinstance(split, Split):
        chosen = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:num_data].sort().values
        return chosen.numpy(), split[chosen]
    batch: Batch = {}
    for part in split.batches(num_data):
        batch = {key: torch.cat([batch[key], value]) if batch else value for key, value in part.items()}
        if batch_size(batch) >= num_data:
            break
    return np.arange(min(num_data, batch_size(batch))), {key: value[:num_data] for key, value in batch.items()}


def _small(value: Tensor) -> Tensor:
    """Zeros and ones as bytes: predictions are the bulk of the file."""
    return value.to(torch.uint8) if bool(((value == 0) | (value == 1)).all()) else value


def _dataset(
    group: str,
    values: Mapping[str, Tensor],
    observed: list[str],
    rows: np.ndarray,
    attrs: Mapping[str, Any],
    classes: Mapping[str, Sequence[Any]],
) -> xarray.Dataset:
    lead = {"prior": ["chain", "draw"], "prior_predictive": ["chain", "draw"], "observed_data": ["data"]}
    variables, coords = {}, {}
    for name, value in values.items():
        dims = ["chain", "data"] if name == "ess" else lead.get(group, ["chain", "draw", "data"])
        dims = dims + _event_dims(name, value.dim() - len(dims), name in observed)
        variables[name] = (dims, value.detach().cpu().numpy())
        coords.update({dim: np.arange(size) for dim, size in zip(dims, value.shape, strict=True)})
    one_hot = {f"{name}_dim": np.asarray(labels) for name, labels in classes.items()}
    coords |= {dim: labels for dim, labels in one_hot.items() if len(coords.get(dim, ())) == len(labels)}
    if "data" in coords:
        coords["data"] = rows
    return xarray.Dataset(variables, coords, attrs)


def _variables(names: Collection[str]) -> dict[str, str]:
    """A variable's name for each site's: netCDF knows no slash, nor a variable that is called like another's dimension."""
    found: dict[str, str] = {}
    for name in sorted(names, key=len):
        variable = re.sub(r"^\.+$|[/\x00-\x1f]", "_", name).strip() or "_"
        while variable in (*RESERVED, *found.values()) or any(_is_dimension(variable, of) for of in found.values()):
            variable = f"site_{variable}"
        found[name] = variable
    return found


def _is_dimension(name: str, variable: str) -> bool:
    return re.fullmatch(r"_(dim(_\d+)?|channel|row|column)", name.removeprefix(variable)) is not None


def _event_dims(name: str, num: int, observed: bool) -> list[str]:
    """Names of a site's event dimensions: those of an image or a vector, or numbered."""
    if observed and num in (2, 3):
        return [f"{name}_{part}" for part in ("channel", "row", "column")[3 - num :]]
    return [f"{name}_dim"] if num == 1 else [f"{name}_dim_{i}" for i in range(num)]


def _attrs(pair: Pair, num_samples: int, resampled: bool) -> dict[str, Any]:
    return {
        "inference_library": "pyrovae",
        "inference_library_version": metadata.version("pyrovae"),
        "pair": json.dumps(pair.recipe) if pair.recipe else "",
        "units": "nats",
        "posterior_draws": f"p(z | x) by sampling importance resampling of {POOL_FACTOR * num_samples} draws of q a chain"
        if resampled
        else "q(z | x)",
    }
