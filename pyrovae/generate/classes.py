"""Style and content: pictures of every class in one style, from the prior or from a datum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.doors import as_batch
from pyrovae.core.inference import inference
from pyrovae.core.pair import PairLike, as_pair
from pyrovae.core.program import Batch, Program, batch_size, describe, template
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import latents_trace, run_program
from pyrovae.errors import ContractError, OptionError
from pyrovae.generate.expectation import Expectations, expectation, picture_site
from pyrovae.generate.given import refuse_own_reading
from pyrovae.generate.reconstruction import posterior_means

__all__ = ["analogies", "class_samples"]


@public()
def class_samples(pair: PairLike, num: int = 10, like: Mapping[str, Tensor] | None = None) -> Tensor:
    """E[x | y, z_j] for every class y and styles z_1 .. z_num of the prior, (C, num, *shape): a column is one style.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide), with a latent OneHotCategorical site y.
        num: how many styles.
        like: entries of the batch besides x, one row.

    References: Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014, Figure 1.

    >>> from pyrovae import data, pairs
    >>> class_samples(pairs.m2(data.load("digits").spec), 3).shape
    torch.Size([10, 3, 8, 8])
    """
    pair = as_pair(pair)
    if num < 1:
        raise OptionError(f"num is {num}; expected at least one style.")
    model = pair.model
    batch = template(model, num, like)
    with inference(pair):
        drawn = sample_sites(run_program(model, batch))
        latents = {name: site["value"] for name, site in drawn.items() if not site["is_observed"]}
        return _every_class(model, batch, latents).transpose(0, 1)


@public()
def analogies(pair: PairLike, data: Any) -> Tensor:
    """E[x | y, z_b] for every class y, z_b the style that the guide infers of x_b, (B, C, *shape): a row is one style.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide), with a latent OneHotCategorical site y.
        data: B rows, in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part.

    References: Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014, Figure 1.

    >>> from pyrovae import data, pairs
    >>> digits = data.load("digits")
    >>> analogies(pairs.m2(digits.spec), digits.test["x"][:4]).shape
    torch.Size([4, 10, 8, 8])
    """
    pair = as_pair(pair)
    batch = as_batch(pair, data)
    with inference(pair):
        latents, _ = posterior_means(pair.guide, batch)
        return _every_class(pair.model, batch, latents)


def _every_class(model: Program, batch: Batch, latents: Mapping[str, Tensor]) -> Tensor:
    """E[x | y, the rest of the latents], (B, C, *shape); what depends on y is at its mean given y."""
    if "y" not in latents:
        raise ContractError(f"{describe(model)} has no latent site 'y'; its sites are {', '.join(latents)}.")
    rows, classes = batch_size(batch), latents["y"].shape[-1]
    wide = {key: value.repeat_interleave(classes, 0) for key, value in batch.items()}
    held = {name: value.repeat_interleave(classes, 0) for name, value in latents.items()}
    held["y"] = torch.eye(classes, device=latents["y"].device).repeat(rows, 1)
    sites = sample_sites(run_program(model, wide, replay=latents_trace(held)))
    for name in [name for name in held if name != "y"]:
        scores = sites[name]["fn"].log_prob(held[name]).unflatten(0, (rows, classes))
        if not torch.allclose(scores, scores[:, :1].expand_as(scores)):  # its distribution depends on y
            del held[name]
    with Expectations():
        sites = sample_sites(run_program(model, wide, replay=latents_trace(held)))
    refuse_own_reading(model, wide, picture_site(sites))
    return expectation(sites[picture_site(sites)]["fn"]).unflatten(0, (rows, classes))
