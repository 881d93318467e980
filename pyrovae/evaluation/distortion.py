"""How near attacks bring a reconstruction to the target's, against the size of the change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.pair import PairLike, as_pair
from pyrovae.errors import OptionError
from pyrovae.evaluation.attacks import attack

__all__ = ["DistortionCurve", "distortion_curve"]

COSTS = (100.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.001)


@dataclass(frozen=True, repr=False)
class DistortionCurve:
    """What attacks of several costs reach, each datum's two distortions between 0 and 1 at the ends of the curve.

    Attributes:
        costs: c, (C,).
        size: :attr:`Attack.size` at each, (C, B).
        distance: :attr:`Attack.distance` at each, (C, B).
    """

    costs: tuple[float, ...]
    size: Tensor
    distance: Tensor

    @property
    def areas(self) -> Tensor:
        """The area under each datum's curve from (0, 1), no change, to (1, 0), the target itself, (B,), by the trapezoids.

        0.5 is the straight line: a pair whose reconstructions move no more than what it is given. Points beyond the target,
        of a change larger than the way there, are left out.
        """
        found = []
        for size, distance in zip(self.size.T.double(), self.distance.T.double(), strict=True):
            inside = size < 1
            places = torch.cat([torch.tensor([0.0, 1.0]).double(), size[inside]])
            values = torch.cat([torch.tensor([1.0, 0.0]).double(), distance[inside]])
            order = places.argsort()
            found.append(torch.trapezoid(values[order], places[order]))
        return torch.stack(found)

    @property
    def area(self) -> float:
        """The mean of :attr:`areas`; the smaller, the easier the pair is led astray."""
        return float(self.areas.mean())

    @property
    def stderr(self) -> float:
        """Standard error of the area over data."""
        return float(self.areas.std() / math.sqrt(len(self.areas))) if len(self.areas) > 1 else math.inf

    def to_json(self) -> dict[str, Any]:
        """All figures, means over the data."""
        means = {name: getattr(self, name).mean(1).tolist() for name in ("size", "distance")}
        return {"costs": list(self.costs), **means, "area": self.area, "area_stderr": self.stderr}

    def __repr__(self) -> str:
        return f"area under the distortion curve {self.area:.3f} +- {self.stderr:.3f} (0.5 is the straight line)"


@public()
def distortion_curve(
    pair: PairLike, data: Any, target: Any, kind: str = "latent", costs: Sequence[float] = COSTS, **options: Any
) -> DistortionCurve:
    """Attacks of several costs: how near the reconstruction comes to the target's, against the size of the change.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: as for :func:`attack`.
        target: as many rows, or one.
        kind: as for :func:`attack`.
        costs: c of each attack; the curve is as good as they lie over all sizes.
        options: others of :func:`attack`.

    References: Tabacof, Tavares and Valle, Adversarial Images for Variational Autoencoders, 2016 (such plots).
    """
    if isinstance(costs, str) or not isinstance(costs, Sequence) or not costs:
        raise OptionError(f"costs is {costs!r}; expected a list of numbers of at least 0.")
    pair = as_pair(pair)
    found = [attack(pair, data, target, kind, cost, **options) for cost in costs]
    size, distance = (torch.stack([getattr(each, name) for each in found]) for name in ("size", "distance"))
    return DistortionCurve(tuple(map(float, costs)), size, distance)
