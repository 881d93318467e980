"""Which key of the batch an observed site is given: a site's values, reshaped, cut into steps or cast, are some key's."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack

from pyrovae.core.pair import told_keys
from pyrovae.core.program import Program, describe, innermost, inputs, without_wrappers
from pyrovae.core.run import run_program
from pyrovae.core.sites import Site, sample_sites
from pyrovae.distributions.density import is_density, is_factor
from pyrovae.errors import ContractError, nearest

__all__ = ["Source", "WithoutPrior", "drawn_keys", "main_key", "observed_keys", "source_of", "write_values"]

Form = frozenset[tuple[str, tuple[int, ...]]]
_SOURCES: weakref.WeakKeyDictionary[Any, dict[Form, dict[str, Source]]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Source:
    """Where the values of an observed site come from.

    Attributes:
        key: of the batch.
        places: where in a row of the key, flattened, each value of the site's event lies, (numel of the event,); None where
            the program makes its values of the key's.
    """

    key: str
    places: Tensor | None


def observed_keys(model: Program, batch: Mapping[str, Tensor], replay: poutine.Trace | None = None) -> dict[str, Source]:
    """The source of each observed site, found by running the model on a batch as it is, or as ``Pair(sites=...)`` tells.

    Raises:
        ContractError: a site's values are no key's, or several keys', or it bears the name of one key and has another's.
    """
    program, told = without_wrappers(model), told_keys(model)
    batch = {key: value.contiguous() for key, value in inputs(program, batch).items()}
    sites = {n: s for n, s in sample_sites(run_program(program, batch, replay=replay)).items() if s["is_observed"]}
    for name, key in told.items():
        if name not in sites:
            raise nearest("observed site in sites=", name, sites)
        if key not in batch:
            raise nearest(f"key of the batch in sites={{{name!r}: ...}}", key, batch)
    found = {
        name: Source(told[name], _places(site, batch[told[name]])) if name in told else source_of(program, site, batch)
        for name, site in sites.items()
        if not is_factor(site["fn"])
    }
    _SOURCES.setdefault(innermost(model), {})[_form(batch)] = found
    return found


def _form(batch: Mapping[str, Tensor]) -> Form:
    """The keys and shapes of a datum: sets of other sizes have their values in other places."""
    return frozenset((key, tuple(value.shape[1:])) for key, value in batch.items())


class WithoutPrior(Messenger):
    """Latent sites from whose distribution nothing can be drawn (a deterministic autoencoder's) hold zeros."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def _pyro_sample(self, msg: Any) -> None:
        if not (msg["done"] or msg["is_observed"] or site_is_subsample(msg) or is_density(msg["fn"])):
            msg["value"], msg["done"] = torch.zeros(msg["fn"].shape(), device=self.device), True


def drawn_keys(model: Program, batch: Mapping[str, Tensor], given: Collection[str] = ()) -> dict[str, Source]:
    """The source of each observed site, as found on data, else on rows like these; sites without one are left out.

    Args:
        model: the program.
        batch: rows of the right shape, some of which may be zeros that stand for any.
        given: the keys whose values are no such zeros.
    """
    known = _SOURCES.get(innermost(model), {}).get(_form(inputs(model, batch)))
    if known is not None:
        return known
    few = {key: value[:1].clone() for key, value in batch.items()}
    device = next(iter(few.values())).device
    with torch.random.fork_rng(), torch.no_grad(), WithoutPrior(device), poutine.uncondition():
        few = {k: torch.rand_like(v) if v.is_floating_point() and k not in given else v for k, v in few.items()}
        sites = sample_sites(run_program(without_wrappers(model), few))
    found, told = {}, told_keys(model)
    if peek_interpreter_stack() is not None:  # within vmap no values can be looked at: sites bear the names of their keys
        return {name: Source(name, torch.arange(few[name][0].numel())) for name in sites if name in few}
    for name, site in sites.items():
        if site["infer"].get("was_observed") and not is_factor(site["fn"]):
            of_data = {**site, "value": site["infer"]["obs"]}
            if told.get(name) in few:
                found[name] = Source(told[name], _places(of_data, few[told[name]]))
                continue
            try:
                found[name] = source_of(model, of_data, few)
            except ContractError:  # which check says
                continue
    if set(batch) <= set(given):  # all values are data, which tell the keys for good
        _SOURCES.setdefault(innermost(model), {})[_form(inputs(model, batch))] = found
    return found


def source_of(model: Program, site: Site, batch: Mapping[str, Tensor]) -> Source:
    """The key whose values a site has; its own name's, where that is a key and no other has them."""
    name = site["name"]
    found = {key: places for key, value in batch.items() if (places := _places(site, value)) is not None}
    if name in batch and (name in found or not found):
        return Source(name, found.get(name))
    if name in batch:
        raise ContractError(
            f"observed site {name!r} of {describe(model)} is given the values of {next(iter(found))!r}, while {name!r} is a "
            f"key of the batch too; give it obs={name}, or rename the site."
        )
    if len(found) == 1:
        ((key, places),) = found.items()
        return Source(key, places)
    fact = (
        f"has the values of {' and of '.join(found)}" if found else f"bears no key of the batch, which has {', '.join(batch)}"
    )
    rest = "" if found else ", and is given values that are no key's"
    key = next(iter(found or batch))
    raise ContractError(
        f"observed site {name!r} {fact}{rest}; name it after its data, or say Pair(model, guide, sites={{{name!r}: {key!r}}})."
    )


def _places(site: Site, data: Tensor) -> Tensor | None:
    """Where in a flat row of the data a site's values lie, the same in each row; None where they are not its values."""
    value, rows = site["value"], len(data)
    if not isinstance(value, Tensor) or value.dim() == 0 or len(value) != rows or data.numel() == 0:
        return None
    flat = torch.arange(data.numel(), device=data.device).view(data.shape)
    if value.untyped_storage().data_ptr() == data.untyped_storage().data_ptr() and value.dtype == data.dtype:
        offset = value.storage_offset() - data.storage_offset()
        lies = torch.as_strided(flat, value.shape, value.stride(), offset).reshape(rows, -1) if offset >= 0 else flat[:, :0]
        return _same_in_rows(lies, data)
    found = [lies for lies in _cuts(flat, value.numel()) if _equal(value.reshape(rows, -1), data.reshape(-1)[lies])]
    return _same_in_rows(found[0], data) if len(found) == 1 else None


def _cuts(flat: Tensor, size: int) -> list[Tensor]:
    """The places of all of the data, or of each of its steps along dim 1, of so many values, (B, n)."""
    rows = len(flat)
    if flat.numel() == size:
        return [flat.reshape(rows, -1)]
    if flat.dim() > 1 and flat[:, 0].numel() == size:
        return [flat[:, step].reshape(rows, -1) for step in range(flat.shape[1])]
    return []


def _equal(one: Tensor, other: Tensor) -> bool:
    one, other = one.double(), other.double()
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


def _same_in_rows(lies: Tensor, data: Tensor) -> Tensor | None:
    """Places within each row, where all rows have the same and each its own."""
    row = data[0].numel()
    starts = torch.arange(len(data), device=data.device).unsqueeze(1) * row
    within = lies - starts
    same = lies.shape[1] > 0 and bool((within == within[:1]).all()) and bool(((within >= 0) & (within < row)).all())
    return within[0] if same else None


def write_values(
    batch: Mapping[str, Tensor], sources: Mapping[str, Source], values: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The batch with the values of observed sites, (B, *event), in the keys that they come from."""
    new = dict(batch)
    for name, source in sources.items():
        if name not in values or source.places is None:
            continue
        old, value = new[source.key], values[name].flatten(1) if values[name].dim() > 1 else values[name].unsqueeze(1)
        value = value.to(old.dtype)
        if len(source.places) == old[0].numel():  # all of the key
            new[source.key] = value[:, source.places.argsort()].reshape(old.shape)
        else:
            new[source.key] = old.reshape(len(old), -1).index_copy(1, source.places, value).reshape(old.shape)
    return new


def main_key(sources: Mapping[str, Source]) -> str:
    """The key of what pictures and baselines are of: x where a site is given it, else the first observed site's."""
    keys = [source.key for source in sources.values()]
    return "x" if "x" in keys or not keys else keys[0]
