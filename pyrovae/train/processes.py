"""Data-parallel training: several processes, each with its share of every batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyro
import torch
from torch import Tensor

from pyrovae.core.pair import Batch
from pyrovae.data.seeds import mix

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Processes"]


class Processes:
    """The N processes of a launched Lightning Fabric, which hold the same parameters and move them by the same gradient.

    All read the same batches, and process r takes the r-th part of their rows: the gradient is that of one process but for
    rounding, and but for the noise, of which each process draws its own for its rows. Process 0 writes the run.

    Attributes:
        rank: which of them this is.
        size: N.
        rows: of the batch at hand, all processes' together.
        agreed: whether any process wanted to stop, and process 0 to save, at the last step.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric, self.rank, self.size = fabric, fabric.global_rank, fabric.world_size
        self.device = str(fabric.device)
        self.agreed = (False, False)
        self.rows, self._weight = 1, 1.0

    def share(self, batch: Batch) -> Batch:
        """This process's rows of a batch; of a batch with fewer rows than processes perhaps one of weight 0."""
        rows = len(next(iter(batch.values())))
        own = torch.arange(rows).tensor_split(self.size)[self.rank]
        self.rows, self._weight = rows, len(own) / rows
        start, end = (int(own[0]), int(own[-1]) + 1) if len(own) else (0, 1)
        return {key: value[start:end] for key, value in batch.items()}

    def exchange(
        self, grads: list[Tensor], bound: Tensor, means: list[Tensor], wishes: tuple[bool, bool]
    ) -> tuple[list[Tensor], Tensor, list[Tensor], int]:
        """The whole batch's gradients, the sum of all bounds, the means over all rows, and how many rows there are.

        One message carries all that is yielded at once. ``wishes`` (to stop, to save) go with it, so that all processes do so
        after the same step.
        """
        stop, save = wishes[0], wishes[1] and self.rank == 0
        told = bound.new_tensor([0.0 if self._weight == 0 else float(bound), stop, save])
        weighed = [torch.zeros_like(part) if self._weight == 0 else part * self._weight for part in [*grads, *means]]
        parts = [*(part.flatten() for part in weighed), told]
        whole = self.fabric.all_reduce(torch.cat(parts), reduce_op="sum")
        assert isinstance(whole, Tensor)
        *summed, told = whole.split([part.numel() for part in parts])
        made = [total.view(part.shape) for part, total in zip(weighed, summed, strict=True)]
        self.agreed = bool(told[1] > 0), bool(told[2] > 0)
        return made[: len(grads)], told[0], made[len(grads) :], self.rows

    def same(self, content: Any) -> Any:
        """What process 0 has."""
        return self.fabric.broadcast(content, src=0)

    def gather(self, content: Any) -> list[Any]:
        """What each process has."""
        return [self.fabric.broadcast(content, src=rank) for rank in range(self.size)]

    def seed(self, seed: int) -> None:
        """Seed all generators: in process 0 as alone, in the others apart from it."""
        pyro.set_rng_seed(seed if self.rank == 0 else mix(seed, self.rank) & 0xFFFFFFFF)
