"""New data before a pair sees them: of its dtype and form, no NaN, within the supports, of classes that it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyro
import torch
from torch import Tensor
from torch.distributions import constraints

from pyrovae.core.energies import note_energies
from pyrovae.core.inference import device_of, dtype_of, inference
from pyrovae.core.messages import observes_nothing
from pyrovae.core.pair import Pair
from pyrovae.core.program import Batch, Program, batch_size, describe, inputs, known_shapes, remember
from pyrovae.core.sites import Site
from pyrovae.core.support import has_fixed_support, refuse_outside, scored_inside
from pyrovae.core.trace import PairTrace, run_program
from pyrovae.errors import ContractError, DataError, PyrovaeError

__all__ = ["Admission", "run_alone", "to_pair"]

FEW_ROWS = 64  # on which the programs run to learn what their observed sites can be
ROWS_PER_PASS = 1000  # where that depends on the datum
LABELS, MASKS = "y", ("mask", "observed")


def to_pair(pair: Pair, batch: Mapping[str, Tensor], device: torch.device | str | None = None) -> Batch:
    """The batch where the pair's parameters lie, its real numbers in their precision."""
    device = device_of(pair.model, pair.guide) if device is None else device
    dtype = dtype_of(pair.model, pair.guide)
    return {key: value.to(device, dtype if value.is_floating_point() else value.dtype) for key, value in batch.items()}


def run_alone(model: Program, guide: Program, batch: Mapping[str, Tensor]) -> PairTrace:
    """Both programs as written, without particles; what they raise becomes a message that a user can act on."""
    traces: list[Any] = []
    for label, program in (("guide", guide), ("model", model)):
        try:
            traces.append(run_program(program, batch, replay=traces[0] if traces else None))
        except PyrovaeError:
            raise
        except Exception as error:
            shapes = {key: tuple(value.shape) for key, value in inputs(program, batch).items()}
            text = str(error).partition("\nTrace Shapes:")[0].strip().replace("\n", " ")
            raise ContractError(
                f"the {label} {describe(program)} fails on a batch of {shapes}: {type(error).__name__}: {text}"
            ) from error
    return PairTrace(traces[1], traces[0], (batch_size(batch),), batch=batch)


class Admission:
    """Looks at a verb's batches one after another, each before the pair sees it.

    The programs run once, on a few rows, to learn which values their observed sites can have; only where that depends on the
    datum do they run on every batch.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair, self.first = pair, 0
        self._tests: dict[str, Site] | None = {}
        self._learned, self._classes = False, None

    def __call__(self, batch: Mapping[str, Tensor]) -> Batch:
        """The batch on the pair's device, in its precision.

        Raises:
            ContractError, DataError: names the key or the site, the row, what came and what was expected.
        """
        batch = self._of_known_dtype(to_pair(self.pair, batch))
        rows = batch_size(batch)
        for key, (shape, _) in known_shapes(self.pair.model).items():
            if key in batch and batch[key].dim() - 1 != len(shape):
                raise self._shape_error(key, batch[key], shape)
        self._refuse_nan(batch)
        if not self._learned:
            self._learn({key: value[:FEW_ROWS] for key, value in batch.items()})
        if self._tests is None:
            for start in range(0, rows, ROWS_PER_PASS):
                self._run({key: value[start : start + ROWS_PER_PASS] for key, value in batch.items()}, self.first + start)
        for key, site in (self._tests or {}).items():
            value = batch[key].reshape(rows, *site["fn"].event_shape)
            refuse_outside(f"observed {site['name']!r}", {**site, "value": value}, self.first)
        self._refuse_labels(batch)
        self.first += rows
        return batch

    def _run(self, batch: Batch, first: int) -> PairTrace:
        """Both programs on some rows, whose observed values they can have."""
        known = known_shapes(self.pair.model)
        wrong = [key for key in known if key in batch and tuple(batch[key].shape[1:]) != known[key][0]]
        with inference(self.pair, seed=0), pyro.validation_enabled(False):
            try:
                traced = run_alone(self.pair.model, self.pair.guide, batch)
            except ContractError as error:
                if wrong:
                    raise self._shape_error(wrong[0], batch[wrong[0]], known[wrong[0]][0]) from error
                raise
            sites = [traced.model_sites[name] for name in traced.observed]
            for site in sites:
                if wrong and tuple(site["value"].shape[1:]) != tuple(site["fn"].event_shape):
                    raise self._shape_error(wrong[0], batch[wrong[0]], known[wrong[0]][0])
                refuse_outside(f"observed {site['name']!r}", site, first)
        return traced

    def _learn(self, batch: Batch) -> None:
        """Run the pair on a few rows, and note what the values of each key must be."""
        with inference(self.pair, seed=0):
            note_energies(self.pair.model, batch)
        traced = self._run(batch, self.first)
        self._learned = True
        if not known_shapes(self.pair.model):
            remember(self.pair.model, batch)
        if not traced.observed:
            raise ContractError(observes_nothing(self.pair.model, traced))
        for site in (traced.model_sites[name] for name in traced.observed):
            key = next((key for key, value in batch.items() if _same_values(value, site["value"])), None)
            if not _asks_nothing(site) and self._tests is not None:
                if key is not None and site["mask"] is None and has_fixed_support(site["fn"]):
                    self._tests[key] = site
                else:
                    self._tests = None
        for sites in (traced.guide_sites, traced.model_sites):
            fn = sites[LABELS]["fn"] if LABELS in sites and not sites[LABELS]["is_observed"] else None
            if fn is not None and isinstance(getattr(fn, "support", None), type(constraints.one_hot)):
                self._classes = fn.event_shape[0]

    # ------------------------------------------------------------------------------------------------ what is refused
    def _of_known_dtype(self, batch: Batch) -> Batch:
        """The batch with whole numbers where the pair was made for them, and real ones where for those."""
        for key, (_, dtype) in known_shapes(self.pair.model).items():
            value = batch.get(key)
            if value is None or value.is_floating_point() == dtype.is_floating_point:
                continue
            cast = value.to(dtype_of(self.pair.model, self.pair.guide) if dtype.is_floating_point else dtype)
            if not bool((cast == value).all()):
                raise DataError(f"{key} has dtype {value.dtype}, and the pair was made for {dtype}; give whole numbers there.")
            batch[key] = cast
        return batch

    def _refuse_nan(self, batch: Batch) -> None:
        masks = [batch[key] for key in MASKS if key in batch]
        for key, value in batch.items():
            if not value.is_floating_point() or not bool((bad := value.isnan()).any()):
                continue
            for mask in masks:
                bad = bad & (mask != 0) if mask.shape == bad.shape else bad
            if bool(bad.any()):
                row = self.first + int(bad.nonzero()[0, 0])
                raise DataError(
                    f"{key} holds NaN, first in row {row}; expected numbers: drop or fill such rows (missing values go in a "
                    "mask)."
                )

    def _refuse_labels(self, batch: Batch) -> None:
        labels = batch.get(LABELS)
        if labels is None or self._classes is None or labels.dim() != 1 or labels.is_floating_point():
            return
        bad = (labels >= self._classes).nonzero()
        if len(bad):
            row = int(bad[0, 0])
            raise DataError(
                f"y has label {int(labels[row])} in row {self.first + row}, and the pair has {self._classes} classes, 0 to "
                f"{self._classes - 1}: leave such rows out, or train a pair on all classes (-1 is an unknown label)."
            )

    @staticmethod
    def _shape_error(key: str, value: Tensor, shape: tuple[int, ...]) -> ContractError:
        came = tuple(value.shape)
        hint = f"; one datum is given as {key}.unsqueeze(0), (1, {str(shape)[1:-1].rstrip(',')})" if came == shape else ""
        return ContractError(
            f"{key} has shape {came}, rows of {came[1:]}, and the pair was made for rows of {shape}: expected (B, "
            f"{str(shape)[1:-1].rstrip(',')}){hint}."
        )


def _same_values(given: Tensor, value: Tensor) -> bool:
    return given.numel() == value.numel() and given.dtype == value.dtype and torch.equal(given.flatten(), value.flatten())


def _asks_nothing(site: Site) -> bool:
    """Whether any number is a value of the site."""
    return scored_inside(site["fn"], site["value"]) is None
