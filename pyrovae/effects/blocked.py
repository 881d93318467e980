"""A pair without some of its observed sites, whose evidence is that of the others."""

from __future__ import annotations

from typing import Any

from pyro.poutine.block_messenger import BlockMessenger
from torch import Tensor, nn

from pyrovae.core.pair import Pair, PairLike, as_pair, known_spec, remember_spec
from pyrovae.core.program import Program, describe, inputs, remember, signature
from pyrovae.errors import ContractError

__all__ = ["Blocked", "without_sites"]


class _Blocking(BlockMessenger):
    """Hides observed sites by name, and refuses to hide latent ones."""

    def __init__(self, names: tuple[str, ...], program: str) -> None:
        super().__init__(hide=list(names))
        self.names, self.program, self.found = names, program, set[str]()

    def _process_message(self, msg: Any) -> None:
        super()._process_message(msg)
        if msg["type"] == "sample" and msg["name"] in self.names:
            self.found.add(msg["name"])
            if not (msg["is_observed"] or msg["infer"].get("was_observed")):
                raise ContractError(
                    f"site {msg['name']!r} of {self.program} is latent: without it the others have no density; leave out "
                    "observed sites alone."
                )


class Blocked(nn.Module):
    """A model of which some observed sites are not seen.

    Args:
        program: the model.
        names: of the sites.

    Attributes:
        quantity: what its evidence is of.
    """

    wraps = True
    quantity = "log p(x)"

    def __init__(self, program: Program, names: tuple[str, ...]) -> None:
        super().__init__()
        self.program, self.names = program, names
        self.__qualname__ = describe(program)
        self.__signature__ = signature(program)

    def forward(self, **batch: Tensor) -> Any:
        """Run the program on a batch of B data."""
        with _Blocking(self.names, describe(self.program)) as sites:
            result = self.program(**inputs(self.program, batch))
        if missing := [name for name in self.names if name not in sites.found]:
            raise ContractError(f"{describe(self.program)} has no site {missing[0]!r} to leave out.")
        return result


def without_sites(pair: PairLike, *names: str) -> Pair:
    """The pair whose model lacks these observed sites: its bound and its evidence are of the others.

        log p(x) = log integral p(x, z) dz   of p(x, h, z) = p(z) p(x | z) p(h | x, z), without h

    Parameters are shared with the pair that is given.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        names: of observed sites, which no latent site depends on.

    Raises:
        ContractError: when it is run: the model has no such site, or it is latent.
    """
    pair = as_pair(pair)
    sites = {name: key for name, key in pair.sites.items() if name not in names}
    made = Pair(Blocked(pair.model, names), pair.guide, "elbo", sites=sites)
    if (spec := known_spec(pair)) is not None:
        remember(made.model, spec.zeros(1))
        remember_spec(made, spec)
    return made
