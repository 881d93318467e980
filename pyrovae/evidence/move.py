"""HMC's transition for a pair: by Python, or as one compiled call that a whole run shares."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from pyrovae.compile import Code
from pyrovae.evidence.annealing import path_from
from pyrovae.evidence.hmc import Move, Path, Point, hmc
from pyrovae.evidence.target import Target

__all__ = ["transition"]

STATE = ("beta", "step", "scale")


def transition(
    target: Target, path: Path, start: str, num_leapfrog: int, code: Code | None = None, chains: Collection[int] = ()
) -> Move:
    """(point, beta, step, scale) -> the next point and its acceptance, that leaves f_beta invariant.

    Args:
        target: the pair on its batch.
        path: the two log densities of the path from ``start`` on this batch.
        start: f_0, the "guide" or the "prior".
        num_leapfrog: L.
        code: where compiled transitions are kept from batch to batch; None where they shall run as they are.
        chains: the numbers of chains to compile for, which must not depend on where a run was broken off.
    """

    def eager(point: Point, beta: Tensor, step: Tensor, scale: Tensor) -> tuple[Point, Tensor]:
        return hmc(path, point, beta, step, scale, num_leapfrog)

    if code is None:
        return eager

    def pure(state: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """All that the transition depends on comes in with the state, the batch too."""
        here = Target(target.model, target.guide, {name: state["batch " + name] for name in target.batch}, target.max_rows)
        point = Point(*(state[name] for name in Point._fields))
        beta, step, scale = (state[name] for name in STATE)
        moved, acceptance = hmc(path_from(here, start), point, beta, step, scale, num_leapfrog)
        return (*moved, acceptance)

    def by_code(point: Point, beta: Tensor, step: Tensor, scale: Tensor) -> tuple[Point, Tensor]:
        if len(point.u) not in chains:
            return eager(point, beta, step, scale)
        state = {**point._asdict(), **dict(zip(STATE, (beta, step, scale), strict=True))}
        state |= {"batch " + name: value for name, value in target.batch.items()}
        *moved, acceptance = code.get(pure, state, len(chains))(state)
        target.passes += num_leapfrog * len(point.u)
        return Point(*moved), acceptance

    return by_code
