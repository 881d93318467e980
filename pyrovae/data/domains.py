"""Data of a second domain beside each row, which tell nothing of it."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import torch
from torch import Tensor

from pyrovae.data.dataset import Data
from pyrovae.data.loading import load
from pyrovae.data.split import Split
from pyrovae.data.transforms import enter
from pyrovae.errors import DataError, OptionError, nearest

__all__ = ["unpaired"]

OTHER = 2000  # number of the noise of the choice, beyond that of any transform
KEY = "other"
CHANGES = ("none", "invert", "rotate")
UNIT = ("binary", "levels", "unit")


def changed(x: Tensor, change: str) -> Tensor:
    """Images as the second domain has them: as they are, 1 - x, or turned by 90 degrees to the left."""
    if change == "invert":
        return 1 - x
    return x.rot90(1, (-2, -1)) if change == "rotate" else x


class UnpairedSplit(Split):
    """A split whose batches have, beside each row, one of a second domain that is drawn apart from it."""

    source: Split
    change: str = "none"

    @property
    def keys(self) -> tuple[str, ...]:
        """Those of the rows, and the other."""
        return (*super().keys, KEY)

    def to(self, device: torch.device | str) -> Split:
        """The same split, and the second domain, on ``device``."""
        moved: Split = super().to(device).with_(source=self.source.to(device))
        return moved

    def _batch(
        self, rows: Tensor, draw: tuple[int, int, int] | None = None, keys: tuple[str, ...] | None = None
    ) -> dict[str, Tensor]:
        batch = super()._batch(rows, draw, keys)
        if keys is not None:
            return batch
        u = self._uniform(rows, draw, OTHER)((1,))[:, 0]
        chosen = (u * len(self.source)).long().clamp(max=len(self.source) - 1)
        main = self.source.spec.main
        return {**batch, KEY: changed(self.source._batch(chosen, draw, (main,))[main], self.change)}

    def fingerprint(self) -> str:
        """sha256 (hex) of the raw rows, of the second domain, and of its change."""
        text = f"{super().fingerprint()} {self.source.fingerprint()} {self.change}"
        return hashlib.sha256(text.encode()).hexdigest()


@enter("unpaired")
def unpaired(data: Data, *, of: str | None = None, change: str = "none", root: str | os.PathLike[str] | None = None) -> Data:
    """Beside each datum one of a second domain as key ``other``, drawn uniformly and apart from it: nothing pairs them.

    Of valid and test data from those parts of the second domain, where it has them. In training drawn anew in each epoch;
    otherwise a function of the row.

    Args:
        data: the first domain, x.
        of: a named data set, whose x the second domain is; None for the same data.
        change: of the second domain: none, invert (1 - x) or rotate (by 90 degrees to the left).
        root: folder of the named sets.

    References: Hoshen and Wolf, NAM: Non-Adversarial Unsupervised Domain Mapping, 2018 (the task).

    >>> from pyrovae.data import load
    >>> batch = next(unpaired(load("digits", binarization="none"), change="invert").train.batches(5))
    >>> tuple(batch["other"].shape), bool(batch["other"].mean() > 0.5)
    ((5, 8, 8), True)
    """
    if change not in CHANGES:
        raise nearest("change of the second domain", change, CHANGES)
    second = data if of is None else load(of, root=root, binarization="none")
    if of is None and change == "none":
        raise OptionError("change is 'none' and of is None, so that the second domain is the first; give one of them.")
    known = second.spec.keys.get("x")
    if known is None or (change == "invert" and known.kind not in UNIT) or (change == "rotate" and len(known.shape) < 2):
        raise DataError(
            f"{second.spec.name} has no x that change={change!r} is for: images, and of values in [0, 1] to invert."
        )
    if change == "rotate" and known.shape[-1] != known.shape[-2]:
        raise DataError(f"{second.spec.name} has images {known.shape}, which a turn would make others; expected square ones.")
    spec = data.spec.with_keys({KEY: known})
    sources, parts = second.parts(), {}
    for name, part in data.parts().items():
        if part is None:
            parts[name] = None
            continue
        source: Any = sources[name] if sources[name] is not None else second.train
        if not isinstance(part, Split) or not isinstance(source, Split):
            raise DataError("unpaired needs numbered rows, not a DataLoader: pass its Dataset, or do it there.")
        made = UnpairedSplit(part.store, spec, part.grey, part.seed, part.index)
        parts[name] = made.with_(transforms=part.transforms, source=source, change=change)
    return Data(parts["train"], parts["valid"], parts["test"], spec, data.source)
