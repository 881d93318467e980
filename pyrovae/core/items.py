"""What no score may depend on where a datum is made of items: what stands beyond its length, and the order of a set."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor

from pyrovae.core.keys import observed_keys
from pyrovae.core.layout import place_or_score
from pyrovae.core.program import Batch, Program, inputs
from pyrovae.core.sites import mask_scores, sample_sites
from pyrovae.core.trace import PairTrace, run_program
from pyrovae.data import DataSpec
from pyrovae.data.seeds import set_seed
from pyrovae.errors import ContractError

__all__ = ["check_order", "check_padding", "scores_of"]


def check_padding(model: Program, guide: Program, batch: Batch, traced: PairTrace) -> None:
    """Where ``lengths`` says how many items of a datum there are, what stands beyond must change no score."""
    lengths = _lengths(model, batch)
    if lengths is None:
        return
    changed = dict(batch)
    for key in {source.key for source in observed_keys(model, batch, traced.guide).values()}:
        value = batch[key]
        if value.dim() > 1 and int(lengths.max()) <= value.shape[1]:
            beyond = torch.arange(value.shape[1], device=value.device) >= lengths.unsqueeze(1)
            other = value.flip(0).flip(1) if len(value) > 1 else value  # values that data have
            changed[key] = torch.where(beyond.reshape(*beyond.shape, *[1] * (value.dim() - 2)), other, value)
    for label, program in (("guide", guide), ("model", model)):
        before, after = (scores_of(program, data, traced.latents, masked=True) for data in (batch, changed))
        for name, score in before.items():
            if not torch.equal(score, after[name]):
                row = int((score != after[name]).nonzero()[0, -1])
                raise ContractError(
                    f"site {name!r} of the {label}: datum {row} scores {float(score[row]):g}, and {float(after[name][row]):g} "
                    f"with other values beyond its length, {int(lengths[row])}; mask what lies there."
                )


def check_order(model: Program, guide: Program, batch: Batch, traced: PairTrace, spec: DataSpec | None) -> None:
    """Where the data say that keys are sets, shuffling their items, and the latents of these alike, must change no score.

    A latent whose event (n, ...) has two dimensions at least and begins with the size of the set is one of each item; of an
    event (n,) both are tried.
    """
    keys = [key for key, known in (spec.keys.items() if spec is not None else ()) if known.is_set and key in batch]
    taken = set(inputs(model, batch)) | set(inputs(guide, batch))
    if not taken & set(keys):
        return
    assert spec is not None
    size = batch[keys[0]].shape[1]
    order = _order(batch[keys[0]], _lengths(model, batch))
    shuffled = {
        key: _ordered(value, order) if key in keys and value.shape[1] == size else value for key, value in batch.items()
    }
    events = {name: traced.model_sites[name]["fn"].event_shape for name in traced.latents}
    sure = {name for name, event in events.items() if len(event) > 1 and event[0] == size}
    unsure = [name for name, event in events.items() if tuple(event) == (size,)]
    failures = []
    for count in range(len(unsure) + 1):
        for more in itertools.combinations(unsure, count):
            moved = sure | set(more)
            latents = {name: _ordered(z, order) if name in moved else z for name, z in traced.latents.items()}
            failure = _difference(model, guide, (batch, traced.latents), (shuffled, latents))
            if failure is None:
                return
            failures.append(failure)
    label, name, before, after = failures[0]
    raise ContractError(
        f"site {name!r} of the {label}: datum 0 scores {before:g}, and {after:g} when the items of {', '.join(keys)} come in "
        f"another order, which {spec.name} says are a set; pool over items (a mean or a maximum), and give each item's latent "
        "the event (n, d)."
    )


def _difference(
    model: Program, guide: Program, one: tuple[Batch, Mapping[str, Tensor]], other: tuple[Batch, Mapping[str, Tensor]]
) -> tuple[str, str, float, float] | None:
    """The first site that scores another set of data and latents otherwise, with both scores of datum 0."""
    for label, program in (("guide", guide), ("model", model)):
        before, after = (scores_of(program, data, latents, masked=True) for data, latents in (one, other))
        for name, score in before.items():
            if not torch.allclose(score, after[name], rtol=1e-3, atol=1e-3):
                row = int((score - after[name]).abs().argmax())
                return label, name, float(score.flatten()[row]), float(after[name].flatten()[row])
    return None


def _lengths(model: Program, batch: Batch) -> Tensor | None:
    """How many items of each datum there are, (B,), where the model asks."""
    lengths = inputs(model, batch).get("lengths")
    return None if lengths is None or lengths.dim() != 1 else lengths


def _order(value: Tensor, lengths: Tensor | None) -> Tensor:
    """Another order of the items that there are, (B, n), those beyond staying behind them."""
    u = torch.rand(value.shape[:2], generator=torch.Generator().manual_seed(0)).to(value.device)
    if lengths is not None:
        u = u + (torch.arange(value.shape[1], device=value.device) >= lengths.unsqueeze(1))
    return u.argsort(1)


def _ordered(value: Tensor, order: Tensor) -> Tensor:
    """Items, (B, n, ...), in an order of each datum's own, (B, n)."""
    index = order.reshape(*order.shape, *[1] * (value.dim() - 2)).expand(-1, -1, *value.shape[2:])
    return value.gather(1, index)


def scores_of(program: Program, batch: Batch, latents: Mapping[str, Tensor], masked: bool = False) -> dict[str, Tensor]:
    """The log density of each site at given latents; where a distribution scores its own draws only, at draws of one seed."""
    for given in (latents, None):
        set_seed(0)  # the same dropout masks, and draws, whatever the data
        sites = sample_sites(run_program(program, batch, given=given))
        try:
            scores = {name: place_or_score(site) for name, site in sites.items()}
            return {name: mask_scores(sites[name], score) for name, score in scores.items()} if masked else scores
        except NotImplementedError:
            if given is None:
                raise
    raise AssertionError
