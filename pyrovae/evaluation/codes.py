"""How often each value of a discrete latent site is used."""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import Bernoulli, Categorical, OneHotCategorical
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.aggregate import base_of
from pyrovae.core.doors import batches
from pyrovae.core.inference import inference
from pyrovae.core.pair import PairLike, as_pair
from pyrovae.core.run import run_program
from pyrovae.core.sites import sample_sites
from pyrovae.distributions.codebook import Quantized
from pyrovae.errors import ContractError

__all__ = ["code_use"]


@public()
def code_use(pair: PairLike, data: Any, batch_size: int = 500, seed: int = 0) -> dict[str, Tensor]:
    """How often the guide draws each value of each discrete latent site, over data and places: (V,), in whole numbers.

    A codeword of a codebook is counted at all its places, residual quantizers one after another, (Q K,); a class of several
    one-hot variables for each of them, (N M,); a bit where it is 1, (d,). Counted over whole data, since how many are used in
    a batch depends on its size.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part.
        batch_size: B.
        seed: of the draws.

    Raises:
        ContractError: no latent site has such values.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vq_vae
    >>> pair = vq_vae(DataSpec("toy", (4,), "real"), num_places=3, num_codes=8, code_dim=2, likelihood="gaussian")
    >>> int(code_use(pair, torch.randn(7, 4))["z"].sum())
    21
    """
    pair = as_pair(pair)
    found: dict[str, Tensor] = {}
    with inference(pair, seed=seed):
        for batch in batches(pair, data, batch_size):
            for name, site in sample_sites(run_program(pair.guide, batch)).items():
                counts = None if site["is_observed"] else _counts(site["fn"], site["value"])
                if counts is not None:
                    found[name] = counts.cpu() + found.get(name, 0)
    if not found:
        raise ContractError("the guide has no latent site of classes, bits or codewords, so there are no codes to count.")
    return found


def _counts(fn: Any, value: Tensor) -> Tensor | None:
    """How often each value is drawn, (V,); None of a site without a list of values."""
    base = base_of(fn)
    if isinstance(base, Quantized):
        books, size = base.codebook.codes.shape[:2]
        numbers = base.codebook.nearest(base.encoded) + size * torch.arange(books, device=value.device)
        return numbers.flatten().bincount(minlength=books * size)
    if isinstance(base, Categorical) and not fn.event_shape:
        return value.long().flatten().bincount(minlength=base.probs.shape[-1])
    if isinstance(base, (OneHotCategorical, Bernoulli)):
        return value.round().long().flatten(1).sum(0)
    return None
