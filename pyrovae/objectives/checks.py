"""What adversarial objectives log beside their losses: distances of samples that no discriminator has a part in."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pyrovae.objectives.adversarial import MOST_PAIRED, codes_of, sliced_wasserstein, sliced_wasserstein_null
from pyrovae.objectives.discrepancy import mmd, mmd_null
from pyrovae.objectives.objective import Given, Objective

__all__ = ["code_figures", "distance_figures"]


def distance_figures(name: str, sample: Tensor, draw: Callable[[], Tensor]) -> dict[str, Tensor]:
    """The sliced Wasserstein distance of a sample, (n, d), to fresh draws of what it should be like, and its null.

    The null is the 95% quantile of that distance between two samples of the draws' own.

    Args:
        name: of the figure; the null's ends in ``_null``.
        sample: (n, d).
        draw: makes n more draws, (n, d).
    """
    first, *others = (draw() for _ in range(3))
    return {name: sliced_wasserstein(sample, first), f"{name}_null": sliced_wasserstein_null(torch.cat(others))}


def code_figures(objective: Objective, given: Given) -> dict[str, Tensor]:
    """``code_distance`` of codes, all latent sites side by side, to draws of the model's prior, and its null.

    Also ``code_mmd`` and its null, the squared maximum mean discrepancy of at most 1,000 codes.
    """
    latents = objective.trace(given).latents
    codes = codes_of(latents)[0]

    def draw() -> Tensor:
        sites = objective.prior(given)
        return codes_of({name: sites[name]["value"] for name in latents})[0]

    found = distance_figures("code_distance", codes, draw)
    if len(codes) > 1:
        one, *others = (draw()[:MOST_PAIRED] for _ in range(3))
        found |= {"code_mmd": mmd(codes[:MOST_PAIRED], one), "code_mmd_null": mmd_null(torch.cat(others))}
    return found
