"""Where the density of an observed site is not zero, and the sentence for data that lie elsewhere."""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import Categorical, MaskedDistribution, TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyrovae.core.sites import Site
from pyrovae.distributions.levels import LevelsCategorical
from pyrovae.errors import ContractError

__all__ = ["has_fixed_support", "inside", "log_prob_inside", "refuse_outside", "rows_inside"]

ANYWHERE = (type(constraints.real), type(constraints.dependent))  # where only NaN is wrong, or nothing is known
ROUNDING = 1e-6  # of one number of float32, in the sum of a simplex


def inside(fn: TorchDistribution, value: Tensor, nan: bool = False) -> Tensor | None:
    """Whether each value lies in the support, (*batch_shape); masked entries do. None where there is nothing to ask.

    Args:
        fn: the distribution.
        value: (..., *event_shape).
        nan: ask of real numbers too whether they are numbers.

    >>> import pyro.distributions as dist
    >>> inside(dist.Bernoulli(torch.tensor([0.5, 0.5])).to_event(1), torch.tensor([[1.0, 0.0], [0.4, 0.0]]))
    tensor([ True, False])
    """
    if isinstance(fn, torch.distributions.Independent):
        valid = inside(fn.base_dist, value, nan)
        return valid if valid is None else _all(valid, fn.reinterpreted_batch_ndims)
    if isinstance(fn, MaskedDistribution):
        valid = inside(fn.base_dist, value, nan)
        return valid if valid is None else valid | ~torch.as_tensor(fn._mask, device=valid.device)
    try:
        support = fn.support
    except NotImplementedError:
        return None
    return _check(support, value, len(fn.event_shape), nan)


def _check(support: Any, value: Tensor, event_dim: int, nan: bool) -> Tensor | None:
    base, lifted = support, 0
    while isinstance(base, type(constraints.real_vector)):
        base, lifted = base.base_constraint, lifted + base.reinterpreted_batch_ndims
    if isinstance(base, ANYWHERE):
        return _all(value == value, event_dim) if nan and event_dim <= value.dim() else None
    if isinstance(base, type(constraints.simplex)):
        valid = (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < ROUNDING * value.shape[-1] ** 0.5 + ROUNDING)
        valid = _all(valid, lifted)
    else:
        valid = support.check(value)
    return _all(valid, event_dim - max(value.dim() - valid.dim(), 0))


def _all(valid: Tensor, dims: int) -> Tensor:
    """Whether all are true over so many last dimensions."""
    return valid.flatten(-dims).all(-1) if dims > 0 and valid.dim() >= dims else valid


def log_prob_inside(fn: TorchDistribution, value: Tensor) -> Tensor:
    """log p(value), -inf outside the support, where formulas give any number, (*batch_shape), in nats."""
    valid = inside(fn, value)
    if valid is None:
        return fn.log_prob(value)
    scores = fn.log_prob(_nearest(fn, value))
    return torch.where(valid, scores, scores.new_full((), -torch.inf))


def _nearest(fn: TorchDistribution, value: Tensor) -> Tensor:
    """The value, that of a table of probabilities within its ends, beyond which there is nothing to look up."""
    fn = innermost(fn)
    if isinstance(fn, Categorical):
        return value.clamp(0, fn.param_shape[-1] - 1)
    return value.clamp(0, 1) if isinstance(fn, LevelsCategorical) else value


def rows_inside(site: Site) -> Tensor | None:
    """Whether the value of each datum of an observed site lies in its support, (B,), what is masked apart; None if nothing
    is to be asked."""
    valid = inside(site["fn"], site["value"], nan=True)
    if valid is None:
        return None
    mask = site["mask"]
    return valid if mask is None or mask is True else valid | ~torch.as_tensor(mask, device=valid.device)


def refuse_outside(what: str, site: Site, first: int | None = None) -> None:
    """ContractError where the value of a site leaves its support: names what, the range that came, the row, and the mend.

    Args:
        what: begins the sentence, as in "observed 'x'".
        site: with its value, (B, *event).
        first: number of the first datum, where rows are to be named.
    """
    valid = rows_inside(site)
    if valid is None or bool(valid.all()):
        return
    bad = (~valid).nonzero()
    fn, value = site["fn"], site["value"]
    where = "" if first is None else f", first in row {first + int(bad[0, -1])}"
    worst = value[~valid] if valid.dim() <= value.dim() and value.shape[: valid.dim()] == valid.shape else value
    if bool(worst.isnan().any()):
        raise ContractError(
            f"{what} holds NaN{where}; expected numbers: drop or fill such rows (missing values go in a mask)."
        )
    raise ContractError(
        f"{what} leaves the support {fn.support} of {type(innermost(fn)).__name__} (values from {float(worst.min()):g} to "
        f"{float(worst.max()):g}{where}); change the likelihood or the prior, or transform the data (binarization=...)."
    )


def has_fixed_support(fn: TorchDistribution) -> bool:
    """Whether the support is the same for every datum, whatever the parameters and masks."""
    if isinstance(fn, torch.distributions.Independent):
        return has_fixed_support(fn.base_dist)
    return not isinstance(fn, MaskedDistribution) and _is_fixed(fn.support)


def _is_fixed(support: Any) -> bool:
    bounds = vars(support).values()
    return all(_is_fixed(b) if isinstance(b, constraints.Constraint) else isinstance(b, (int, float)) for b in bounds)


def innermost(fn: TorchDistribution) -> TorchDistribution:
    """A distribution under what reshapes and masks it."""
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return fn
