"""Sequences as products of conditionals, each a function of the steps before: scored in one pass, drawn step by step."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

__all__ = ["AutoregressiveBernoulli", "AutoregressiveCategorical", "AutoregressiveGaussian"]

MAX_LOG_SCALE = 7.0


class _Autoregressive(TorchDistribution):
    """Base: x, of the event's shape, as T steps of D numbers in their order.

        log p(x | c) = sum_{t <= length} log p(x_t | x_1, ..., x_t-1, c)

    Args:
        network: causal, (..., T, D) and a context to (..., T, P): :class:`~pyrovae.nets.CausalRNN`, ``CausalConv``, ``MADE``
            or ``MaskedConv``.
        shape: of x, of T D values.
        context: c of each datum, (*batch_shape, C), or None.
        lengths: how many steps each datum has, (*batch_shape); by default T. Those beyond score 0 and are drawn as 0.
    """

    arg_constraints: dict[str, Any] = {}

    def __init__(
        self,
        network: Any,
        shape: Sequence[int],
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.network, self.context, self.lengths = network, context, lengths
        shapes = [() if context is None else context.shape[:-1], () if lengths is None else lengths.shape]
        super().__init__(torch.broadcast_shapes(*shapes), torch.Size(shape), validate_args=False)
        self.num_steps = math.prod(shape) // self.step_dim

    @property
    def step_dim(self) -> int:
        """D, the values of x in a step."""
        dim: int = self.network.step_dim
        return dim

    @abstractmethod
    def of_step(self, params: Tensor) -> TorchDistribution:
        """The distribution of the values of steps, whose last dimensions are one event, given (..., P)."""

    def seen(self, steps: Tensor) -> Tensor:
        """What the network sees of steps, (..., T, D)."""
        return steps

    def conditionals(self, x: Tensor) -> TorchDistribution:
        """p(x_t | x_1, ..., x_t-1, c) of all steps, (..., T), given x, (..., *shape)."""
        steps = self.seen(self._steps(x))
        return self.of_step(self.network(steps, self.context))

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(x), in nats, (*batch_shape)."""
        scores = self.conditionals(value).log_prob(self._steps(value))
        if self.lengths is not None:
            scores = torch.where(self._here(scores.device), scores, scores.new_zeros(()))
        total: Tensor = scores.sum(-1)
        return total.expand(torch.broadcast_shapes(total.shape, self.batch_shape))

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Draws, (*sample_shape, *batch_shape, *event_shape), step by step."""
        like = next(self.network.parameters())
        lead = torch.Size([*sample_shape, *self.batch_shape])
        x = self._zeros(lead, like)
        c, recurrent = self.context, hasattr(self.network, "start")
        state = self.network.start(lead, like, c) if recurrent else None
        for t in range(self.num_steps):
            drawn = self.of_step(self.network.at(state, c) if recurrent else self.network(self.seen(x), c)[..., t, :]).sample()
            if self.lengths is not None:
                here = (t < self.lengths).reshape(*self.lengths.shape, *[1] * (drawn.dim() - len(lead)))
                drawn = torch.where(here, drawn, torch.zeros_like(drawn))
            x[(..., t, *[slice(None)] * (drawn.dim() - len(lead)))] = drawn
            if recurrent:
                state = self.network.cell(*state, self.seen(drawn))
        return x.reshape(*lead, *self.event_shape)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> TorchDistribution:
        """The same distribution with this batch shape."""
        new = self._get_checked_instance(type(self), _instance)
        new.network, new.num_steps = self.network, self.num_steps
        new.context = None if self.context is None else self.context.expand(*batch_shape, self.context.shape[-1])
        new.lengths = None if self.lengths is None else self.lengths.expand(batch_shape)
        super(_Autoregressive, new).__init__(torch.Size(batch_shape), self.event_shape, validate_args=False)
        expanded: TorchDistribution = new
        return expanded

    def _steps(self, x: Tensor) -> Tensor:
        """x as steps, (..., T, D)."""
        return x.reshape(*x.shape[: x.dim() - len(self.event_shape)], self.num_steps, -1)

    def _zeros(self, lead: torch.Size, like: Tensor) -> Tensor:
        """Steps before any is drawn."""
        return like.new_zeros(*lead, self.num_steps, self.step_dim)

    def _here(self, device: torch.device) -> Tensor:
        """Which steps there are, (*batch_shape, T)."""
        assert self.lengths is not None
        return torch.arange(self.num_steps, device=device) < self.lengths.unsqueeze(-1)


class AutoregressiveBernoulli(_Autoregressive):
    """Bits x, of T steps of D, each step's independent given those before; ``log_prob`` in nats, (*batch_shape).

        log p(x | c) = sum_t sum_d log Bernoulli(x_td; sigmoid(f_td(x_1, ..., x_t-1, c)))

    Args as of all: ``network`` (P = D), ``shape``, ``context`` (*batch_shape, C), ``lengths`` (*batch_shape).

    >>> from pyrovae.nets import MADE
    >>> fn = AutoregressiveBernoulli(MADE(3, [4], 1), (3,))
    >>> x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    >>> round(float(fn.log_prob(x).exp().sum().detach()), 4)
    1.0
    """

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:
        """Where the density is not zero."""
        return constraints.independent(constraints.boolean, len(self.event_shape))

    def of_step(self, params: Tensor) -> TorchDistribution:
        """Bernoulli of logits, (..., D)."""
        return dist.Bernoulli(logits=params, validate_args=False).to_event(1)


class AutoregressiveGaussian(_Autoregressive):
    """Numbers x, of T steps of D, each step's independent given those before; ``log_prob`` in nats, (*batch_shape).

        log p(x | c) = sum_t sum_d log N(x_td; m_td, s_td^2),   m, log s functions of x_1, ..., x_t-1 and c

    Args as of all: ``network`` (P = 2 D: means, then logarithms of scales), ``shape``, ``context`` (*batch_shape, C),
    ``lengths`` (*batch_shape).

    >>> from pyrovae.nets import CausalRNN
    >>> AutoregressiveGaussian(CausalRNN(2, 4, 4), (5, 2)).sample(torch.Size([3])).shape
    torch.Size([3, 5, 2])
    """

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> constraints.Constraint:
        """Where the density is not zero."""
        return constraints.independent(constraints.real, len(self.event_shape))

    def of_step(self, params: Tensor) -> TorchDistribution:
        """Normal of means and log scales, (..., 2 D)."""
        loc, log_scale = params.chunk(2, -1)
        scale = log_scale.clamp(-MAX_LOG_SCALE, MAX_LOG_SCALE).exp()
        return dist.Normal(loc, scale, validate_args=False).to_event(1)


class AutoregressiveCategorical(_Autoregressive):
    """Names x, (T,) of 0..V-1, each given those before; ``log_prob`` in nats, (*batch_shape).

        log p(x | c) = sum_t log softmax(f_t(x_1, ..., x_t-1, c))[x_t],   of one-hot x_t

    Args as of all: ``network`` (D = P = V), ``shape`` (T,), ``context`` (*batch_shape, C), ``lengths`` (*batch_shape).

    >>> from pyrovae.nets import CausalConv
    >>> AutoregressiveCategorical(CausalConv(4, 8, 4), (6,)).sample(torch.Size([2])).shape
    torch.Size([2, 6])
    """

    step_dim = 1  # type: ignore[assignment]  # one name a step

    @property
    def num_names(self) -> int:
        """V."""
        dim: int = self.network.step_dim
        return dim

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Where the density is not zero."""
        return constraints.independent(constraints.integer_interval(0, self.num_names - 1), 1)

    def seen(self, steps: Tensor) -> Tensor:
        """One-hot names, (..., V)."""
        weight = next(self.network.parameters())
        names = torch.arange(self.num_names, device=steps.device)  # torch's own one_hot looks at values, which a graph has not
        return (steps.clamp(0, self.num_names - 1).unsqueeze(-1) == names).to(weight.dtype)

    def _steps(self, x: Tensor) -> Tensor:
        return x.long()

    def _zeros(self, lead: torch.Size, like: Tensor) -> Tensor:
        return torch.zeros(*lead, self.num_steps, dtype=torch.int64, device=like.device)

    def of_step(self, params: Tensor) -> TorchDistribution:
        """Categorical of logits, (..., V)."""
        return dist.Categorical(logits=params, validate_args=False)
