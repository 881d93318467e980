"""Missing values: any pair made into one of the observed part of x, log p(x_observed)."""

from __future__ import annotations

import inspect
from typing import Any

from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

from pyrovae.calls import public
from pyrovae.core.pair import Pair, PairLike, as_pair, known_spec, remember_spec
from pyrovae.core.program import Program, describe, inputs, signature
from pyrovae.distributions.density import mask_distribution
from pyrovae.errors import ContractError

__all__ = ["ObservedPart", "observed_part"]


class _Masked(Messenger):
    """Site x scored where the mask is 1."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask, self.observed = mask, set[str]()

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"]:
            self.observed.add(msg["name"])
        if msg["name"] == "x":
            msg["fn"] = mask_distribution(msg["fn"], self.mask)


class ObservedPart(nn.Module):
    """A program that sees x where ``mask`` is 1 and 0 elsewhere, and whose site x is scored where it is seen.

    Args:
        program: a model whose x is a product over its values, or a guide.

    Attributes:
        quantity: what its evidence is of.
    """

    wraps = True
    quantity = "log p(x_observed)"

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.__qualname__ = describe(program)
        taken = {**signature(program).parameters, "mask": inspect.Parameter("mask", inspect.Parameter.KEYWORD_ONLY)}
        self.__signature__ = inspect.Signature(sorted(taken.values(), key=lambda parameter: parameter.kind))

    def forward(self, x: Tensor, mask: Tensor, **others: Tensor) -> Any:
        """Run the program on a batch of B data."""
        seen = x.where(mask.bool(), x.new_zeros(()))
        with _Masked(mask) as sites:
            result = self.program(**inputs(self.program, {"x": seen, "mask": mask, **others}))
        if sites.observed and "x" not in sites.observed:
            raise ContractError(
                f"{describe(self.program)} observes {', '.join(sorted(sites.observed))} and no site 'x', of which a part is "
                "missing; call the site of such data 'x'."
            )
        return result


@public()
def observed_part(pair: PairLike) -> Pair:
    """The pair of p(x_observed, z) and q(z | x_observed), for batches with ``mask``, 1 where x is observed and 0 elsewhere.

    Its bound is one on log p(x_observed), its :func:`~pyrovae.log_evidence` that. The guide sees zeros where x is missing.

    Recipes make it by themselves of data that :func:`~pyrovae.data.missing` made.

    References: Mattei and Frellsen, MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets, 2019.
    """
    pair = as_pair(pair)
    if isinstance(pair.model, ObservedPart):
        return pair
    stages = tuple(observed_part(stage) for stage in pair.stages)
    recipe = None if pair.recipe is None else {**pair.recipe, "observed_part": True}
    made = Pair(ObservedPart(pair.model), ObservedPart(pair.guide), pair.objective, recipe, stages)
    if (spec := known_spec(pair)) is not None:
        remember_spec(made, spec)
    return made
