"""How far reconstructions are from the data: what can be said of any pair, with or without a density."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.doors import batches
from pyrovae.core.inference import inference
from pyrovae.core.pair import Pair, PairLike, as_pair
from pyrovae.core.program import Batch
from pyrovae.core.trace import trace_pair
from pyrovae.effects.missing import ObservedPart
from pyrovae.errors import OptionError
from pyrovae.evidence.evidence import mean_and_error
from pyrovae.generate.expectation import has_names, picture_site
from pyrovae.generate.reconstruction import reconstructions, require_samples, shown_values

__all__ = ["ReconstructionError", "reconstruction_error"]

SATURATION_MARGIN = 1e-7  # where float32 has saturated a sigmoid


@dataclass(frozen=True, repr=False)
class ReconstructionError:
    """Distances between N data and their reconstructions x' = E[x | z], z from the guide.

    Attributes:
        squared: ||x_n - x'_n||^2, (N,), summed over the D values of a datum.
        cross_entropy: -sum_i x_i log x'_i + (1 - x_i) log(1 - x'_i), (N,), nats; None where x or x' leave [0, 1].
        num_values: D, what is missing counted.
    """

    squared: Tensor
    cross_entropy: Tensor | None
    num_values: int

    def to_json(self) -> dict[str, Any]:
        """Means over data and their standard errors."""
        squared, squared_stderr = mean_and_error(self.squared)
        figures = {
            "squared_error": squared,
            "squared_error_stderr": squared_stderr,
            "squared_error_per_value": squared / self.num_values,
            "squared_error_per_value_stderr": squared_stderr / self.num_values,
        }
        if self.cross_entropy is not None:
            figures["cross_entropy"], figures["cross_entropy_stderr"] = mean_and_error(self.cross_entropy)
        figures["num_data"] = len(self.squared)
        return {key: None if math.isnan(value) else value for key, value in figures.items()}

    def __repr__(self) -> str:
        (squared, error), d = mean_and_error(self.squared), self.num_values
        lines = [
            f"squared error = {squared:.4g} +- {error:.2g} per datum, {squared / d:.4g} +- {error / d:.2g} per value "
            f"({len(self.squared)} data)"
        ]
        if self.cross_entropy is not None:
            entropy, error = mean_and_error(self.cross_entropy)
            lines.append(f"cross-entropy = {entropy:.3f} +- {error:.3f} nats per datum")
        return "\n".join(lines)


@public()
def reconstruction_error(pair: PairLike, data: Any, num_samples: int = 1, batch_size: int = 500) -> ReconstructionError:
    """||x - x'||^2 and cross-entropy of each datum and its reconstruction x', the mean of p(x | z) over K draws of q(z | x).

    Of data with missing values the sums are over what is seen; values that are names have no distance and are refused.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part.
        num_samples: K.
        batch_size: B.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import ae
    >>> reconstruction_error(ae(DataSpec("toy", (4, 4), "binary")), torch.ones(5, 4, 4)).squared.shape
    torch.Size([5])
    """
    pair = as_pair(pair)
    require_samples(num_samples)
    squared: list[Tensor] = []
    entropy, inside, x = [], True, torch.zeros(0)
    with inference(pair):
        for batch in batches(pair, data, batch_size):
            if not squared:
                _refuse_names(pair, batch)
            x = shown_values(pair, batch).flatten(1).double()
            again = reconstructions(pair, batch, num_samples).flatten(1).to(x)
            seen = batch["mask"].flatten(1).to(x) if isinstance(pair.model, ObservedPart) else torch.ones_like(x)
            inside &= all(bool(((v >= 0) & (v <= 1)).all()) for v in (x, again))
            squared.append(((x - again).square() * seen).sum(1).cpu())
            safe = again.clamp(SATURATION_MARGIN, 1 - SATURATION_MARGIN)
            entropy.append(-((x * safe.log() + (1 - x) * torch.log1p(-safe)) * seen).sum(1).cpu())
    return ReconstructionError(torch.cat(squared), torch.cat(entropy) if inside else None, x.shape[1])


def _refuse_names(pair: Pair, batch: Batch) -> None:
    few = {key: value[:2] for key, value in batch.items()}
    sites = trace_pair(pair.model, pair.guide, few, enumerate_sites=False).model_sites
    if has_names(sites[picture_site(sites)]["fn"]):
        raise OptionError(
            "x holds names (categories, ordered levels), between which there is no distance; compare the data with "
            "reconstruct, or a table with reconstruct_table."
        )
