"""Classes as points of the simplex: the handler that gives a model the probabilities of a guide's class in place of a draw."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions import OneHotCategorical
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from pyrovae.core.program import Program, describe, inputs

__all__ = ["OneHotDraws", "Softened"]


class _Soften(Messenger):
    """Swaps every latent one-hot site for the point at its probabilities."""

    def _pyro_sample(self, msg: Any) -> None:
        fn = base = msg["fn"]
        if msg["is_observed"] or site_is_subsample(msg):
            return
        while isinstance(base, torch.distributions.Independent):
            base = base.base_dist
        if isinstance(base, OneHotCategorical):
            msg["fn"] = dist.Delta(fn.mean, event_dim=fn.event_dim)
            msg["infer"] = {key: value for key, value in msg["infer"].items() if key != "enumerate"}


class OneHotDraws(Messenger):
    """Draws one-hot sites by comparisons: torch's own looks at the numbers that it drew, which no compiled step can do."""

    def _pyro_sample(self, msg: Any) -> None:
        fn = base = msg["fn"]
        if msg["done"] or msg["is_observed"] or site_is_subsample(msg):
            return
        while isinstance(base, torch.distributions.Independent):
            base = base.base_dist
        if isinstance(base, OneHotCategorical):
            logits = base.logits
            drawn = torch.distributions.Categorical(logits=logits, validate_args=False).sample()
            hot = drawn.unsqueeze(-1) == torch.arange(logits.shape[-1], device=logits.device)
            msg["value"], msg["done"] = hot.to(logits.dtype).reshape(fn.shape()), True


class Softened:
    """A guide whose one-hot sites are not drawn: their value is softmax(logits), a point of the simplex.

    The value lies outside the support of the model's site, which therefore must not be scored: it serves objectives that
    score what is observed alone. Everything else, ``check``, evidence and generation, sees the guide as it is.

    Args:
        program: the guide.
    """

    wraps = True

    def __init__(self, program: Program) -> None:
        self.program = program
        self.__qualname__ = describe(program)

    def __call__(self, **batch: Tensor) -> Any:
        """Run the guide."""
        with _Soften():
            return self.program(**inputs(self.program, batch))
