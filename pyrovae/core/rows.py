"""Particles as rows: K particles of B data run as K B data of the same program, and its trace read as one over (K, B).

A network that does not broadcast over leading axes (batch norm, ``view(-1, ...)``, recurrent layers) sees a batch as it was
written for. Rows are in the order of particles first: row k B + b is datum b of particle k.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pyro import poutine
from pyro.distributions import Independent, TorchDistribution
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.distributions import constraints, kl_divergence, register_kl

__all__ = ["Particles", "merge_particles", "read_as_particles", "repeat_rows", "rows_trace", "split_rows"]

Shape = torch.Size | list[int] | tuple[int, ...]


def repeat_rows(batch: Mapping[str, Tensor], num_particles: int) -> dict[str, Tensor]:
    """K copies of a batch one below the other, (K B, *shape) an entry.

    >>> repeat_rows({"x": torch.tensor([1, 2])}, 2)["x"]
    tensor([1, 2, 1, 2])
    """
    return {key: value.repeat(num_particles, *[1] * (value.dim() - 1)) for key, value in batch.items()}


def split_rows(values: Tensor, num_particles: int, right: int) -> Tensor:
    """(..., K B, *right) as (..., K, B, *right); (..., 1, *right) as (..., 1, 1, *right)."""
    dim = values.dim() - 1 - right
    if dim < 0 or (values.shape[dim] == 1 and num_particles > 1):
        return values if dim < 0 else values.unsqueeze(dim)
    return torch.unflatten(values, dim, (num_particles, -1))


def merge_particles(values: Tensor, sizes: tuple[int, int], right: int) -> Tensor:
    """(..., K, B, *right), or what broadcasts to it, as (..., K B, *right); (..., 1, 1, *right) as (..., 1, *right)."""
    lead = values.shape[: values.dim() - right]
    if all(size == 1 for size in lead[-2:]):
        return values.squeeze(len(lead) - 2) if len(lead) >= 2 else values
    values = values.expand(*lead[:-2], *sizes, *values.shape[len(lead) :])
    return values.flatten(values.dim() - right - 2, values.dim() - right - 1)


class Particles(TorchDistribution):
    """A distribution over K B rows as the one over (K, B) that it is.

    Args:
        rows: of batch shape (..., K B, *inner).
        num_particles: K.
        inner: how many batch dimensions lie right of the rows, of what an ``Independent`` around it takes for an event.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, rows: TorchDistribution, num_particles: int, inner: int = 0) -> None:
        self.rows, self.num_particles, self.inner = rows, num_particles, inner
        shape = rows.batch_shape
        size = shape[len(shape) - 1 - inner]
        self.sizes = (num_particles, size // num_particles)
        batch_shape = (*shape[: len(shape) - 1 - inner], *self.sizes, *shape[len(shape) - inner :])
        super().__init__(torch.Size(batch_shape), rows.event_shape, validate_args=False)

    @property
    def base_dist(self) -> TorchDistribution:
        """The distribution over rows."""
        return self.rows

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether draws are reparameterized."""
        return bool(self.rows.has_rsample)

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        """Whether the support can be enumerated."""
        return bool(self.rows.has_enumerate_support)

    @property
    def support(self) -> Any:
        """That of the rows."""
        return self.rows.support

    @property
    def mean(self) -> Tensor:
        """(K, B, *event)."""
        return self.split(self.rows.mean)

    @property
    def mode(self) -> Tensor:
        """(K, B, *event)."""
        return self.split(self.rows.mode)

    @property
    def variance(self) -> Tensor:
        """(K, B, *event)."""
        return self.split(self.rows.variance)

    @property
    def next_state(self) -> Any:
        """That of the rows, where they have one."""
        of_rows = self.rows.next_state
        return lambda value: of_rows(self.merge(value))

    def __getattr__(self, name: str) -> Any:
        """A parameter of the rows' distribution, by its name in Pyro, (..., K, B, *shape)."""
        rows = self.__dict__.get("rows")
        if rows is None or name not in rows.arg_constraints:
            raise AttributeError(name)
        value: Tensor = getattr(rows, name)
        return torch.unflatten(value, len(rows.batch_shape) - 1 - self.inner, self.sizes)

    def split(self, values: Tensor) -> Tensor:
        """Values of the rows, (..., K B, *inner, *event), as (..., K, B, *inner, *event)."""
        return split_rows(values, self.num_particles, self.inner + len(self.event_shape))

    def merge(self, values: Tensor) -> Tensor:
        """The inverse of :meth:`split`."""
        return merge_particles(values, self.sizes, self.inner + len(self.event_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """log density, (..., K, B, *inner), in nats."""
        return split_rows(self.rows.log_prob(self.merge(value)), self.num_particles, self.inner)

    def rsample(self, sample_shape: Shape = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Reparameterized draws, (*sample_shape, ..., K, B, *inner, *event)."""
        return self.split(self.rows.rsample(torch.Size(sample_shape)))

    def sample(self, sample_shape: Shape = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Draws, (*sample_shape, ..., K, B, *inner, *event)."""
        return self.split(self.rows.sample(torch.Size(sample_shape)))

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values, left of the batch shape."""
        return self.split(self.rows.enumerate_support(expand=expand))


@register_kl(Particles, Particles)  # type: ignore[untyped-decorator]
def _kl(p: Particles, q: Particles) -> Tensor:
    return split_rows(kl_divergence(p.rows, q.rows), p.num_particles, p.inner)


def _of_particles(fn: TorchDistribution, num_particles: int, inner: int = 0) -> TorchDistribution:
    """A distribution over rows as one over particles; a product stays one."""
    if isinstance(fn, torch.distributions.Independent):
        own = fn.reinterpreted_batch_ndims
        return Independent(_of_particles(fn.base_dist, num_particles, inner + own), own)
    return Particles(fn, num_particles, inner)


def read_as_particles(trace: poutine.Trace, num_particles: int) -> poutine.Trace:
    """A trace of K B rows, changed into one of K particles of B data: sites of batch shape (..., K, B)."""
    nodes: dict[str, Any] = trace.nodes
    for site in nodes.values():
        if site["type"] != "sample" or site_is_subsample(site):
            continue
        event_dim = site["fn"].event_dim
        site["fn"] = _of_particles(site["fn"], num_particles)
        site["value"] = split_rows(site["value"], num_particles, event_dim)
        for name in ("mask", "scale"):
            if isinstance(site[name], Tensor) and site[name].dim():
                site[name] = split_rows(site[name], num_particles, 0)
        site["infer"] = _shift(site["infer"], -1)
    return trace


def rows_trace(trace: poutine.Trace, sizes: tuple[int, int]) -> poutine.Trace:
    """A trace of K particles of B data to replay rows on: its latent sites at (..., K B, *event)."""
    rows = poutine.Trace()
    nodes: dict[str, Any] = trace.nodes
    for name, site in nodes.items():
        given = "fn" not in site  # only its values, (K, B, *event)
        if site["type"] == "sample" and not site["is_observed"] and (given or not site_is_subsample(site)):
            right = site["value"].dim() - 2 if given else site["fn"].event_dim
            value = merge_particles(site["value"], sizes, right)
            rows.add_node(name, **{**site, "value": value, "infer": _shift(site["infer"], 1)})
    return rows


def _shift(infer: dict[str, Any], by: int) -> dict[str, Any]:
    """Enumerated dimensions move left by one where rows become particles and data, and back."""
    moved = dict(infer)
    if "_enumerate_dim" in infer:
        moved["_enumerate_dim"] = infer["_enumerate_dim"] + by
    if "_dim_to_id" in infer:
        moved["_dim_to_id"] = {dim + by: id_ for dim, id_ in infer["_dim_to_id"].items()}
    return moved
