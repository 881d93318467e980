"""Sites of a model held at given values: what they may be, and when ancestral draws of the rest are draws given them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pyro import poutine
from pyro.distributions import OneHotCategorical
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from pyrovae.core.pair import Batch, Program, describe, inputs
from pyrovae.core.sites import Site, mask_scores, sample_sites
from pyrovae.core.trace import run_program
from pyrovae.distributions.density import is_density
from pyrovae.errors import ContractError, OptionError

__all__ = ["draw_sites", "example_sites", "refuse_posterior", "refuse_unknown", "site_value"]

ROWS_TO_COMPARE = 512  # draws of the rest, on which the density of what is given must not depend


def draw_sites(model: Program, batch: Mapping[str, Tensor], held: Mapping[str, Tensor] | None = None) -> dict[str, Site]:
    """One ancestral pass of the model, (B,): held sites at their values, (B, *event), all others drawn, observed ones too."""
    held = held or {}
    batch = {key: _same(held.get(key, value), value) for key, value in batch.items()}
    try:
        with poutine.condition(data=dict(held)), poutine.uncondition():
            return sample_sites(run_program(model, batch))
    except ContractError as error:  # of a model without a prior; Pyro adds a table of shapes
        raise ContractError(str(error).partition("\n")[0]) from None


class _WithoutPrior(Messenger):
    """Latent sites from whose distribution nothing can be drawn (a deterministic autoencoder's) hold zeros."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def _pyro_sample(self, msg: Any) -> None:
        if not (msg["done"] or msg["is_observed"] or site_is_subsample(msg) or is_density(msg["fn"])):
            msg["value"], msg["done"] = torch.zeros(msg["fn"].shape(), device=self.device), True


def example_sites(model: Program, batch: Mapping[str, Tensor]) -> dict[str, Site]:
    """The model's sites on one row of a batch, whose values are examples only; nobody's random numbers change."""
    with torch.random.fork_rng(), _WithoutPrior(next(iter(batch.values())).device):
        return draw_sites(model, {key: value[:1] for key, value in batch.items()})


def _same(held: Tensor, value: Tensor) -> Tensor:
    """What the model's argument of an observed site holds: the site's value, where it is of the argument's form."""
    return held.to(value.dtype) if held.shape == value.shape else value


def refuse_unknown(model: Program, batch: Batch, known: set[str]) -> None:
    """Refuse to run a model on an argument whose values nobody gave and which it does not draw."""
    unknown = sorted(inputs(model, batch).keys() - known)
    if unknown:
        raise ContractError(
            f"{describe(model)} reads {unknown[0]!r}, whose values it does not draw here; give "
            f"like={{{unknown[0]!r}: a tensor of one row, or one for each draw}}."
        )


def site_value(site: Site, given: Any, what: str) -> Tensor:
    """A site's given value, (*lead, *event), of the dtype of its draws; whole numbers are classes of a one-hot site.

    Args:
        site: a draw of the site.
        given: a tensor, an array or a number.
        what: begins the messages.

    Raises:
        OptionError: the shape does not end in the site's event, or a value lies outside the support.
    """
    fn, drawn = site["fn"], site["value"]
    value, event = torch.as_tensor(given, device=drawn.device), tuple(fn.event_shape)
    if isinstance(fn, OneHotCategorical) and not value.is_floating_point() and value.dim() <= 1:
        value = _one_hot(value, event[0], what)
    if len(event) and tuple(value.shape[-len(event) :]) != event:
        raise OptionError(f"{what} has shape {tuple(value.shape)}; expected (*rows, *{event}), the event of its site last.")
    cast = value.to(drawn.dtype)
    valid = fn.support.check(cast)
    if not bool(valid.all()) or (not drawn.is_floating_point() and bool((cast != value).any())):
        raise OptionError(f"{what} leaves the support {fn.support} of its site; give values that can be drawn there.")
    return cast


def _one_hot(labels: Tensor, num_classes: int, what: str) -> Tensor:
    """Classes 0 .. C-1, () or (n,), as one-hot vectors."""
    if bool(((labels < 0) | (labels >= num_classes)).any()):
        raise OptionError(f"{what} is {labels.tolist()}; expected classes from 0 to {num_classes - 1}.")
    return torch.nn.functional.one_hot(labels.long(), num_classes).float()


def refuse_posterior(model: Program, batch: Mapping[str, Tensor], held: Mapping[str, Tensor]) -> None:
    """Refuse to hold a site whose distribution depends on a site that is drawn: that asks for a posterior.

    With values v held, ancestral draws of the rest r have density prod_i p(r_i | parents), and
    p(r | v) = prod_i p(r_i | parents) prod_j p(v_j | parents) / p(v): the same where no p(v_j | parents) changes with r.
    Looked at on 512 pairs of draws.
    """
    rows, values = ({key: _cycle(value) for key, value in each.items()} for each in (batch, held))
    devices = sorted({value.device.index or 0 for value in values.values() if value.is_cuda})
    with torch.random.fork_rng(devices=devices):
        first, second = (draw_sites(model, rows, values) for _ in range(2))
    drawn = [name for name in first if name not in held]
    for name in held:
        scores = [mask_scores(sites[name], sites[name]["fn"].log_prob(values[name])) for sites in (first, second)]
        if not torch.allclose(scores[0], scores[1], rtol=1e-5, atol=1e-5, equal_nan=True):
            raise ContractError(
                f"given={{{name!r}: ...}} asks for {', '.join(drawn)} given {name!r}, whose distribution in {describe(model)} "
                "depends on what is drawn, while sample draws parents first; give those sites too, or use posterior(pair, "
                "data), impute or complete."
            )


def _cycle(value: Tensor) -> Tensor:
    return value[torch.arange(ROWS_TO_COMPARE, device=value.device) % len(value)]
