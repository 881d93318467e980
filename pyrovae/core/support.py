"""Where the density of an observed site is not zero, and the sentence for data that lie elsewhere."""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import Categorical, MaskedDistribution, TorchDistribution
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.distributions import constraints

from pyrovae.core.sites import Site, family_name
from pyrovae.distributions.density import log_density
from pyrovae.distributions.levels import LevelsCategorical
from pyrovae.distributions.supports import inside, is_angle, true_support
from pyrovae.errors import ContractError

__all__ = ["ObservedInside", "has_fixed_support", "observed_density", "refuse_outside", "scored_inside"]


def scored_inside(fn: TorchDistribution, value: Tensor) -> Tensor | None:
    """Whether each value that is scored lies in the support, (*batch_shape); None where every real number does.

    >>> import pyro.distributions as dist
    >>> scored_inside(dist.Bernoulli(torch.tensor([0.5, 0.5])).to_event(1), torch.tensor([[1.0, 0.0], [0.4, 0.0]]))
    tensor([ True, False])
    """
    if isinstance(fn, torch.distributions.Independent):
        valid = scored_inside(fn.base_dist, value)
        return valid if valid is None else _all(valid, fn.reinterpreted_batch_ndims)
    if isinstance(fn, MaskedDistribution):
        valid = scored_inside(fn.base_dist, value)
        return valid if valid is None else valid | ~torch.as_tensor(fn._mask, device=valid.device)
    valid = None if is_angle(fn) else inside(fn, value)
    return valid if valid is None else _all(valid, fn.event_dim - true_support(fn).event_dim)


def _all(valid: Tensor, dims: int) -> Tensor:
    """Whether all are true over so many last dimensions."""
    return valid.flatten(-dims).all(-1) if 0 < dims <= valid.dim() else valid


def observed_density(fn: TorchDistribution, value: Tensor) -> Tensor:
    """log p(value) of an observed site, -inf outside the support, where formulas give any number, (*batch_shape), in nats."""
    valid = scored_inside(fn, value)
    if valid is None:
        return log_density(fn, value)
    return torch.where(valid, log_density(fn, _within_table(fn, value)), -torch.inf)


def _within_table(fn: TorchDistribution, value: Tensor) -> Tensor:
    """The value, that of a table of probabilities within its ends, beyond which there is nothing to look up."""
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    if isinstance(fn, Categorical):
        return value.clamp(0, fn.param_shape[-1] - 1)
    return value.clamp(0, 1) if isinstance(fn, LevelsCategorical) else value


def refuse_outside(what: str, site: Site, first: int | None = None) -> None:
    """ContractError where the value of a site leaves its support: names what, the range that came, the row, and the mend.

    Args:
        what: begins the sentence, as in "observed 'x'".
        site: with its value, (B, *event).
        first: number of the first datum, where rows are to be named.
    """
    fn, value, mask = site["fn"], site["value"], site["mask"]
    valid = scored_inside(fn, value)
    if valid is None:
        return
    valid = valid if mask is None or mask is True else valid | ~torch.as_tensor(mask, device=valid.device)
    if bool(valid.all()):
        return
    where = "" if first is None else f", first in row {first + int((~valid).nonzero()[0, -1])}"
    worst = value[~valid] if value.shape[: valid.dim()] == valid.shape else value
    raise ContractError(
        f"{what} leaves the support {true_support(fn)} of {family_name(site)} (values from {float(worst.min()):g} to "
        f"{float(worst.max()):g}{where}); change the likelihood or the prior, or transform the data (binarization=...)."
    )


class ObservedInside(Messenger):
    """Within it, programs run; :attr:`all_inside` is then whether all observed values lay within their supports."""

    all_inside = True

    def _pyro_post_sample(self, msg: Any) -> None:
        if msg["is_observed"] and not site_is_subsample(msg) and self.all_inside:
            valid, mask = scored_inside(msg["fn"], msg["value"]), msg["mask"]
            if valid is not None:
                valid = valid if mask is None or mask is True else valid | ~torch.as_tensor(mask, device=valid.device)
                self.all_inside = bool(valid.all())


def has_fixed_support(fn: TorchDistribution) -> bool:
    """Whether the support is the same for every datum, whatever the parameters and masks."""
    if isinstance(fn, torch.distributions.Independent):
        return has_fixed_support(fn.base_dist)
    return not isinstance(fn, MaskedDistribution) and _is_fixed(true_support(fn))


def _is_fixed(support: Any) -> bool:
    bounds = vars(support).values()
    return all(_is_fixed(b) if isinstance(b, constraints.Constraint) else isinstance(b, (int, float)) for b in bounds)
