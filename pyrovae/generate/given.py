"""Sites of a model held at given values: what they may be, and when ancestral draws of the rest are draws given them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from pyro.distributions import OneHotCategorical
from torch import Tensor

from pyrovae.core.joint import draw_joint, draw_once, is_ordered, readers
from pyrovae.core.keys import Source, WithoutPrior, drawn_keys, write_values
from pyrovae.core.pair import Pair, known_spec
from pyrovae.core.program import Batch, Program, describe, inputs
from pyrovae.core.sites import Site, mask_scores
from pyrovae.distributions.density import is_factor
from pyrovae.errors import ContractError, OptionError, PyrovaeError, nearest

__all__ = [
    "by_labels",
    "draw_sites",
    "example_sites",
    "must_pass_again",
    "refuse_factors",
    "refuse_own_reading",
    "refuse_posterior",
    "refuse_unknown",
    "site_value",
]

ROWS_TO_COMPARE = 512  # draws of the rest, on which the density of what is given must not depend


def draw_sites(
    model: Program,
    batch: Mapping[str, Tensor],
    held: Mapping[str, Tensor] | None = None,
    sources: Mapping[str, Source] | None = None,
    again: bool = False,
) -> dict[str, Site]:
    """Ancestral draws of the model, (B,): held sites at their values, (B, *event), all others drawn, observed ones too.

    Args:
        model: the program.
        batch: rows of the right shape.
        held: values of sites.
        sources: where observed sites have their values from: those of held ones are written there.
        again: pass by pass until the model reads what it has drawn (:func:`~pyrovae.core.joint.draw_joint`).
    """
    held, sources = held or {}, sources or {}
    batch = write_values(batch, sources, held)
    return draw_joint(model, batch, held, sources) if again else draw_once(model, batch, held)


def example_sites(model: Program, batch: Mapping[str, Tensor]) -> dict[str, Site]:
    """The model's sites on one row of a batch, whose values are examples only; nobody's random numbers change."""
    with torch.random.fork_rng(), WithoutPrior(next(iter(batch.values())).device):
        try:
            return draw_sites(model, {key: value[:1] for key, value in batch.items()})
        except PyrovaeError:
            raise
        except Exception as error:
            fact, key = str(error).partition("\n")[0], next(iter(inputs(model, batch)))
            raise ContractError(
                f"{describe(model)} cannot be drawn from on rows of zeros, which stand for {', '.join(inputs(model, batch))} "
                f"({type(error).__name__}: {fact}); give like={{{key!r}: rows}}, whose values it may read."
            ) from error


def refuse_unknown(model: Program, batch: Batch, known: set[str], sources: Mapping[str, Source]) -> None:
    """Refuse to run a model on an argument whose values nobody gave and which it does not draw."""
    unknown = sorted(inputs(model, batch).keys() - known - {source.key for source in sources.values()})
    if unknown:
        raise ContractError(
            f"{describe(model)} reads {unknown[0]!r}, whose values it does not draw here; give "
            f"like={{{unknown[0]!r}: a tensor of one row, or one for each draw}}."
        )


def by_labels(pair: Pair, given: Mapping[str, Any]) -> dict[str, Any]:
    """Given values with classes by number where the pair's data had names, or other numbers, for them.

    Raises:
        OptionError: a name that no class has.
    """
    spec, numbered = known_spec(pair), dict(given)
    for name, value in given.items():
        key = None if spec is None else spec.keys.get(name)
        labels = None if key is None or key.kind != "category" else key.labels
        values = value.tolist() if hasattr(value, "tolist") else value
        several = isinstance(values, list | tuple)
        if labels is None or (several and values and isinstance(values[0], list | tuple)):
            continue  # numbers of classes, or one-hot rows
        for label in values if several else [values]:
            if label not in labels:
                raise nearest(f"class of {name!r}", label, map(str, labels))
        numbered[name] = torch.tensor([labels.index(label) for label in values] if several else labels.index(values))
    return numbered


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
    try:
        value, event = torch.as_tensor(given, device=drawn.device), tuple(fn.event_shape)
    except (TypeError, ValueError, RuntimeError) as error:
        raise OptionError(f"{what} is {given!r}; expected a number, an array or a tensor ({error}).") from None
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


def must_pass_again(
    model: Program,
    batch: Mapping[str, Tensor],
    held: Mapping[str, Tensor],
    sources: Mapping[str, Source],
    given: Collection[str],
) -> bool:
    """Whether draws take more than one pass, since the model reads keys that it draws; refused where it reads what it lacks.

    Args:
        model: the program.
        batch: rows of the right shape.
        held: values of sites.
        sources: where its observed sites have their values from.
        given: keys whose values somebody gave, which it may read as they are.
    """
    found = readers(model, write_values(batch, sources, held), {n: s for n, s in sources.items() if n not in held}, held)
    if not found:
        return False
    if is_ordered(model, batch, held, sources):
        return True
    name, key = next(iter(found.items()))
    if not set(found.values()) <= set(given):
        raise ContractError(
            f"site {name!r} of {describe(model)} reads {key!r} beyond what has been drawn of it before (a total, a mean); "
            f"give like={{{key!r}: rows}}, whose values it may read, or let it read the value that pyro.sample returned."
        )
    return False


def refuse_factors(model: Program, sites: Mapping[str, Site]) -> None:
    """Refuse to draw from a model that weighs its draws by a factor."""
    for name, site in sites.items():
        if is_factor(site["fn"]):
            raise ContractError(
                f"site {name!r} of {describe(model)} is a factor (pyro.factor), which weighs what the other sites draw, so "
                "that nothing can be drawn of the model; write it as the distribution of a site."
            )


def refuse_own_reading(model: Program, batch: Mapping[str, Tensor], *names: str) -> None:
    """Refuse the mean of an observed site whose distribution reads the very values that are asked for."""
    with WithoutPrior(next(iter(batch.values())).device):
        found = readers(model, batch, drawn_keys(model, batch))
    for name in (name for name in names if name in found):
        raise ContractError(
            f"site {name!r} of {describe(model)} reads {found[name]!r}, whose values it is to give, so that its mean given "
            "the latent sites is no single pass; draw it, as in sample(pair, num, given={'z': z})."
        )


def refuse_posterior(
    model: Program, batch: Mapping[str, Tensor], held: Mapping[str, Tensor], sources: Mapping[str, Source], again: bool
) -> None:
    """Refuse to hold a site whose distribution depends on a site that is drawn: that asks for a posterior.

    With values v held, ancestral draws of the rest r have density prod_i p(r_i | parents), and
    p(r | v) = prod_i p(r_i | parents) prod_j p(v_j | parents) / p(v): the same where no p(v_j | parents) changes with r.
    Looked at on 512 pairs of draws.
    """
    rows, values = ({key: _cycle(value) for key, value in each.items()} for each in (batch, held))
    devices = sorted({value.device.index or 0 for value in values.values() if value.is_cuda})
    with torch.random.fork_rng(devices=devices):
        first, second = (draw_sites(model, rows, values, sources, again) for _ in range(2))
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
