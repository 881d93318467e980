"""Style and content: pictures of every class in one style, from the prior or from a datum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pyro.distributions import Bernoulli, Categorical, OneHotCategorical
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.aggregate import base_of
from pyrovae.core.doors import as_batch
from pyrovae.core.inference import inference
from pyrovae.core.pair import PairLike, as_pair
from pyrovae.core.program import Batch, Program, batch_size, describe, template
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import latents_trace, run_program
from pyrovae.distributions.rbm import RBM
from pyrovae.errors import ContractError, OptionError
from pyrovae.generate.expectation import Expectations, expectation, picture_site
from pyrovae.generate.given import refuse_own_reading
from pyrovae.generate.reconstruction import posterior_means

__all__ = ["analogies", "class_samples"]


@public()
def class_samples(pair: PairLike, num: int = 10, like: Mapping[str, Tensor] | None = None, site: str = "y") -> Tensor:
    """E[x | y, z_j] for every value of a discrete site and styles z_1 .. z_num of the prior, (V, num, *shape).

    A column is one style. The values are the C classes of a one-hot or categorical site; of N variables of C classes each,
    (N, C), and of N bits, (N,), every class of one variable after another, the others as the prior drew them: V = N C.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide), with a discrete latent site.
        num: how many styles.
        like: entries of the batch besides x, one row.
        site: the discrete site, by default the class y.

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
        latents = {name: each["value"] for name, each in drawn.items() if not each["is_observed"]}
        return _every_value(model, batch, latents, site).transpose(0, 1)


@public()
def analogies(pair: PairLike, data: Any) -> Tensor:
    """E[x | y, z_b] for every class y, z_b the style that the guide infers of x_b, (B, C, *shape): a row is one style.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide), with a class y, latent (OneHotCategorical) or a key that the
            model observes (Categorical).
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
        return _every_value(pair.model, batch, latents, "y")


def _values_of(name: str, fn: Any, value: Tensor) -> Tensor:
    """Every value of a site, one element after another, the others as they are in its draws: (B, V, *event)."""
    base = base_of(fn)
    if isinstance(base, Categorical) and not fn.event_shape:
        return torch.arange(base.probs.shape[-1], device=value.device).expand(len(value), -1)
    if isinstance(base, OneHotCategorical):
        each = torch.eye(value.shape[-1], device=value.device).to(value)
    elif isinstance(base, (Bernoulli, RBM)):
        each = torch.tensor([0.0, 1.0], device=value.device).to(value)
        value = value.unsqueeze(-1)
        each = each.unsqueeze(-1)
    else:
        raise ContractError(
            f"site {name!r} ({type(base).__name__}) has no classes to show one after another; take one that is "
            "OneHotCategorical, Categorical or of bits."
        )
    variables = value.flatten(1, -2) if value.dim() > 2 else value.unsqueeze(1)  # (B, N, C), or of bits (B, N, 1)
    number, classes = variables.shape[1], len(each)
    made = variables.unsqueeze(1).repeat(1, number * classes, 1, 1)
    for n in range(number):
        made[:, n * classes : (n + 1) * classes, n] = each
    return made.reshape(len(value), number * classes, *fn.event_shape)


def _every_value(model: Program, batch: Batch, latents: Mapping[str, Tensor], name: str) -> Tensor:
    """E[x | each value of a site, the rest of the latents], (B, V, *shape); what depends on it is at its mean given it."""
    found = sample_sites(run_program(model, batch, replay=latents_trace(latents)))
    given = name in batch and name in found and found[name]["is_observed"]  # a class that the model is told
    if name not in latents and not given:
        raise ContractError(f"{describe(model)} has no latent site {name!r}; its sites are {', '.join(latents)}.")
    values = _values_of(name, found[name]["fn"], batch[name] if given else latents[name])
    rows, classes = batch_size(batch), values.shape[1]
    wide = {key: value.repeat_interleave(classes, 0) for key, value in batch.items()}
    held = {name: value.repeat_interleave(classes, 0) for name, value in latents.items()}
    (wide if given else held)[name] = values.flatten(0, 1)
    chosen = name
    sites = sample_sites(run_program(model, wide, replay=latents_trace(held)))
    for name in [name for name in held if name != chosen]:
        scores = sites[name]["fn"].log_prob(held[name]).unflatten(0, (rows, classes))
        if not torch.allclose(scores, scores[:, :1].expand_as(scores)):  # its distribution depends on y
            del held[name]
    with Expectations():
        sites = sample_sites(run_program(model, wide, replay=latents_trace(held)))
    refuse_own_reading(model, wide, picture_site(sites))
    return expectation(sites[picture_site(sites)]["fn"]).unflatten(0, (rows, classes))
