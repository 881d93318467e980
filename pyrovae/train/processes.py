"""Data-parallel training: several processes, each with its share of every batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyro
import torch
from torch import Tensor

from pyrovae.core.inference import has_batch_norm
from pyrovae.core.pair import Pair
from pyrovae.core.program import Batch
from pyrovae.core.tensors import load_tensors, tensors_of
from pyrovae.data.seeds import mix
from pyrovae.errors import OptionError
from pyrovae.objectives.moves import Survey

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Processes", "join"]


class Processes:
    """The N processes of a launched Lightning Fabric, which hold the same parameters and move them by the same gradient.

    All read the same batches, and process r takes the r-th part of their rows: the gradient is that of one process but for
    rounding, and but for the noise, of which each process draws its own for its rows. Process 0 writes the run.

    Attributes:
        rank: which of them this is.
        size: N.
        rows: of the batch at hand, all processes' together.
        agreed: by which signal, if any, any process was to stop ("interrupted", "terminated"), and whether process 0 wanted to
            save, at the last step.
    """

    def __init__(self, fabric: Fabric) -> None:
        if not hasattr(fabric, "global_rank"):
            raise OptionError(f"fabric is {fabric!r}; expected a lightning_fabric.Fabric, launched.")
        self.fabric, self.rank, self.size = fabric, fabric.global_rank, fabric.world_size
        self.device = str(fabric.device)
        self.agreed: tuple[str | None, bool] = (None, False)
        self.rows, self._weight = 1, 1.0

    def share(self, batch: Batch) -> Batch:
        """This process's rows of a batch; of a batch with fewer rows than processes perhaps one of weight 0."""
        rows = len(next(iter(batch.values())))
        own = torch.arange(rows).tensor_split(self.size)[self.rank]
        self.rows, self._weight = rows, len(own) / rows
        start, end = (int(own[0]), int(own[-1]) + 1) if len(own) else (0, 1)
        return {key: value[start:end] for key, value in batch.items()}

    def exchange(
        self, grads: list[Tensor], bound: Tensor, means: list[Tensor], wishes: tuple[str | None, bool]
    ) -> tuple[list[Tensor], Tensor, list[Tensor], int]:
        """The whole batch's gradients, the sum of all bounds, the means over all rows, and how many rows there are.

        One message carries all that is yielded at once. ``wishes`` (to stop, to save) go with it, so that all processes do so
        after the same step.
        """
        interrupted, terminated = (wishes[0] == reason for reason in ("interrupted", "terminated"))
        save = wishes[1] and self.rank == 0
        told = bound.new_tensor([0.0 if self._weight == 0 else float(bound), interrupted, terminated, save])
        weighed = [torch.zeros_like(part) if self._weight == 0 else part * self._weight for part in [*grads, *means]]
        parts = [*(part.flatten() for part in weighed), told]
        whole = self.fabric.all_reduce(torch.cat(parts), reduce_op="sum")
        assert isinstance(whole, Tensor)
        *summed, told = whole.split([part.numel() for part in parts])
        made = [total.view(part.shape) for part, total in zip(weighed, summed, strict=True)]
        stop = "terminated" if told[2] > 0 else "interrupted" if told[1] > 0 else None
        self.agreed = stop, bool(told[3] > 0)
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


def join(processes: Processes, pair: Pair, objective: Any, survey: Survey | None) -> None:
    """Start from process 0's parameters; OptionError for an objective that several processes cannot share.

    Args:
        processes: the processes.
        pair: whose parameters are overwritten, and those of the objective's networks.
        objective: the objective.
        survey: of its updates; None of one of Pyro's own.
    """
    if survey is not None and survey.has_state:
        raise OptionError(
            f"{objective!r} keeps moving averages of its batches, which several processes would keep apart; train in one "
            "process, or choose another objective."
        )
    if not getattr(objective, "separable", True):
        raise OptionError(
            f"{objective!r} has a loss of the whole batch that is not the mean of its rows' losses, which several processes "
            "would take of their own rows; train in one process, or choose another objective."
        )
    if has_batch_norm(pair.model, pair.guide):
        raise OptionError(
            "the pair has batch norm, whose statistics several processes would take of their own rows; train in one process, "
            "or use LayerNorm."
        )
    if survey is not None and survey.skips:
        raise OptionError(
            f"{objective!r} skips update {survey.skips!r} by its batch, where several processes may differ; train in one "
            "process."
        )
    load_tensors(pair, processes.same(tensors_of(pair)), "process 0")
    networks = getattr(objective, "networks", None)
    if networks is not None:
        networks.load_state_dict(processes.same(networks.state_dict()))
