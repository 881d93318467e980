"""What a data set is: the shape and kind of x, how many labels, how it was binarized."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

from pyrovae.errors import DataError, nearest

__all__ = ["BINARIZATIONS", "KINDS", "DataSpec"]

KINDS = ("binary", "levels", "unit", "real")
BINARIZATIONS = ("dynamic", "fixed", "threshold", "none")


@dataclass(frozen=True)
class DataSpec:
    """Describes x (B, *shape), and y (B,) where there are labels.

    Attributes:
        name: the data set's name.
        shape: event shape of x, without the batch: (H, W), (C, H, W) or (D,).
        kind: "binary" (x in {0, 1}), "levels" (x in {k / (levels - 1)}), "unit" (x in [0, 1]) or "real".
        levels: number of grey levels when ``kind`` is "levels".
        classes: one more than the largest label when there is a y.
        binarization: "dynamic" (drawn each epoch), "fixed" (drawn once), "threshold" (x > 1/2) or "none".
        covariates: shapes of what a batch holds beside x and y: a mask, a condition.
        roles: what covariates do beyond their names, by role: {"missing": "mask"} where that key is 1 where x is observed,
            which makes recipes build pairs of the observed part of x.
        mean: of x over the training data (up to 10,000 rows of it), (*shape); decoders start from it. No part of the JSON.

    >>> DataSpec("toy", (28, 28), "levels", levels=256).to_json()["shape"]
    [28, 28]
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    levels: int | None = None
    classes: int | None = None
    binarization: str = "none"
    covariates: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    mean: Tensor | None = field(default=None, compare=False, repr=False)
    roles: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        for role, key in self.roles.items():
            if (role, key) != ("missing", "mask") or key not in self.covariates:
                raise DataError(
                    f"{self.name}: role {role!r} is given to {key!r}; the one role is 'missing', of a covariate 'mask' that "
                    "is 1 where x is observed."
                )
        if self.kind not in KINDS:
            raise nearest("kind of data", self.kind, KINDS)
        if self.binarization not in BINARIZATIONS:
            raise nearest("binarization", self.binarization, BINARIZATIONS)
        if (self.kind == "levels") != (self.levels is not None):
            raise DataError(
                f"{self.name}: kind {self.kind!r} came with levels={self.levels}; levels is a number for "
                "kind 'levels' and None for the others."
            )

    def to_json(self) -> dict[str, Any]:
        """The spec as a dict of plain JSON values."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "mean"}
        covariates = {key: list(shape) for key, shape in self.covariates.items()}
        return {**values, "shape": list(self.shape), "covariates": covariates, "roles": dict(self.roles)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> DataSpec:
        """The inverse of :meth:`to_json`."""
        covariates = {key: tuple(shape) for key, shape in values.get("covariates", {}).items()}
        # earlier versions wrote no roles: a mask was that of missing values
        roles = values.get("roles", {"missing": "mask"} if "mask" in covariates else {})
        return cls(**{**values, "shape": tuple(values["shape"]), "covariates": covariates, "roles": roles})
