"""What is not seen of x: imputations of missing values, completions of images, for any pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.doors import as_batch
from pyrovae.core.inference import device_of, inference
from pyrovae.core.keys import drawn_keys
from pyrovae.core.pair import Pair, PairLike, as_pair, known_spec
from pyrovae.core.program import Batch, Program, batch_size, describe
from pyrovae.core.sites import sample_sites
from pyrovae.core.steps import StepModel
from pyrovae.core.trace import PairTrace, latents_trace, run_program, trace_pair
from pyrovae.data import as_split
from pyrovae.effects.missing import ObservedPart
from pyrovae.errors import ContractError, OptionError, nearest
from pyrovae.generate import chunks
from pyrovae.generate.expectation import expectation, linear_means, values_of
from pyrovae.generate.given import refuse_own_reading
from pyrovae.generate.missing_steps import impute_steps
from pyrovae.generate.reconstruction import require_samples

__all__ = ["HIDDEN", "complete", "conditional_samples", "impute", "known_part"]


@public()
def impute(pair: PairLike, data: Any, num_samples: int = 100) -> Tensor:
    """E[x_missing | x_observed] by self-normalized importance sampling, x itself where it is observed, (B, *shape).

        sum_k v_k E[x | z_k],   v_k = w_k / sum_k w_k,   w_k = p(x_observed, z_k) / q(z_k | x_observed)

    Of categories and ordered levels, which have no mean, the most probable: argmax_c sum_k v_k p(x = c | z_k). Of a pair in
    steps the weights are those of the ways of a particle filter of K particles.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: B rows of x, and mask, 1 where x is observed, in any form that :func:`pyrovae.data.load` takes; of a whole
            Data set the test part.
        num_samples: K.

    References: Mattei and Frellsen, MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets, 2019.

    >>> from pyrovae import data, pairs
    >>> digits = data.load("digits", transforms=["missing:rate=0.5"])
    >>> pair = pairs.vae(digits.spec, latent_dim=2)
    >>> impute(pair, digits.test[:3]).shape
    torch.Size([3, 8, 8])
    """
    pair = as_pair(pair)
    require_samples(num_samples)
    if isinstance(pair.model, StepModel):
        with inference(pair):
            return impute_steps(pair, _steps(pair, data), num_samples)
    programs = (_observe_part(pair.model), _observe_part(pair.guide))
    rows = _rows(pair, data, "mask")
    step = max(1, chunks.ROWS_PER_PASS // num_samples)
    parts = []
    with inference(pair):
        for start in range(0, batch_size(rows), step):
            some = {key: value[start : start + step] for key, value in rows.items()}
            refuse_own_reading(pair.model, some, "x")
            traced = trace_pair(*programs, some, num_samples, enumerate_sites=False)
            weights, p_x = traced.log_weight.softmax(0), traced.model_sites["x"]["fn"]
            means = [(weights.reshape(*traced.shape, *[1] * (mean.dim() - 2)) * mean).sum(0) for mean in linear_means(p_x)]
            filled = values_of(p_x, means)
            parts.append(torch.where(some["mask"].bool(), some["x"], filled.to(some["x"].dtype)))
    return torch.cat(parts)


@public()
def complete(pair: PairLike, data: Any, num_samples: int = 1, num_steps: int = 200) -> Tensor:
    """x_missing ~ p(x_missing | x_observed) by Markov chains, x itself where it is observed, (K, B, *shape).

    Metropolis within Gibbs: z is proposed by q(z | x), with x completed, and accepted with the ratio of p(x, z) / q(z | x);
    then x_missing ~ p(x | z). Draws are exact as the chains grow long, for a pair that never saw a missing value.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide), without latent sites downstream of x.
        data: B rows of x, and mask, as for :func:`impute`.
        num_samples: K, chains for each datum.
        num_steps: length of the chains.

    Raises:
        ContractError: a latent site comes after x in the model.

    References: Mattei and Frellsen, Leveraging the Exact Likelihood of Deep Latent Variable Models, 2018.

    >>> from pyrovae import data, pairs
    >>> digits = data.load("digits", transforms=["missing:rate=0.5"])
    >>> pair = pairs.vae(digits.spec, latent_dim=2)
    >>> complete(pair, digits.test[:3], num_samples=2, num_steps=5).shape
    torch.Size([2, 3, 8, 8])
    """
    pair = as_pair(pair)
    if num_samples < 1 or num_steps < 1:
        raise OptionError(f"num_samples is {num_samples}, num_steps {num_steps}; both must be at least 1.")
    model, guide = (p.program if isinstance(p, ObservedPart) else p for p in (pair.model, pair.guide))
    rows = _rows(pair, data, "mask")
    rows = {key: value.repeat(num_samples, *[1] * (value.dim() - 1)) for key, value in rows.items()}
    x, mask = rows["x"], rows["mask"].bool()
    latents: dict[str, Tensor] | None = None
    with inference(pair):
        refuse_own_reading(model, rows, "x")
        for _ in range(num_steps):
            rows["x"] = x
            proposal = trace_pair(model, guide, rows, enumerate_sites=False)
            if latents is None:
                _refuse_downstream(proposal)
                latents = proposal.latents
            else:
                latents = _accept(proposal, _score_at(model, guide, rows, latents), latents)
            sites = sample_sites(run_program(model, rows, 1, replay=latents_trace(latents)))
            x = torch.where(mask, x, sites["x"]["fn"].sample().squeeze(0))
    return x.unflatten(0, (num_samples, -1))


@public()
def conditional_samples(pair: PairLike, data: Any, num_samples: int = 1, mean: bool = True) -> Tensor:
    """x ~ p(x | c) of a conditional model, x itself where it is given, (K, B, *shape).

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide), of a conditional model (:class:`~pyrovae.models.CVAE`).
        data: B rows of c and given, and x, of which what is not given is not read, in any form that
            :func:`pyrovae.data.load` takes; of a whole Data set the test part.
        num_samples: K.
        mean: give E[x | z, c] for draws of z, in place of a draw of x.

    >>> from pyrovae import data, pairs
    >>> digits = data.load("digits", transforms=["quadrants:given=2"])
    >>> conditional_samples(pairs.cvae(digits.spec), digits.test[:3], num_samples=2).shape
    torch.Size([2, 3, 8, 8])
    """
    pair = as_pair(pair)
    require_samples(num_samples)
    rows = _rows(pair, data, "given")
    with inference(pair):
        refuse_own_reading(pair.model, rows, "x")
        prior = sample_sites(run_program(pair.model, rows, num_samples))
        p_x = prior["x"]["fn"]
        drawn = expectation(p_x) if mean else p_x.sample()
    return torch.where(rows["given"].bool(), rows["c"], drawn)


HIDDEN = ("upper-half", "lower-half", "left-half", "right-half", "center")


def known_part(hidden: str, shape: Sequence[int]) -> Tensor:
    """A mask of x's shape, (H, W) or (C, H, W): 0 in the hidden part, one of :data:`HIDDEN`, 1 elsewhere.

    >>> known_part("lower-half", (2, 2))
    tensor([[1., 1.],
            [0., 0.]])
    """
    if hidden not in HIDDEN:
        raise nearest("part to hide", hidden, HIDDEN)
    if len(shape) not in (2, 3):
        raise OptionError(f"x has shape {tuple(shape)}; parts are hidden of images, (H, W) or (C, H, W).")
    mask, (height, width) = torch.ones(*shape), shape[-2:]
    rows, columns = {
        "upper-half": (slice(0, height // 2), slice(None)),
        "lower-half": (slice(height // 2, None), slice(None)),
        "left-half": (slice(None), slice(0, width // 2)),
        "right-half": (slice(None), slice(width // 2, None)),
        "center": (slice(height // 4, -(height // 4) or None), slice(width // 4, -(width // 4) or None)),
    }[hidden]
    mask[..., rows, columns] = 0
    return mask


# ------------------------------------------------------------------------------------------------ parts
def _observe_part(program: Program) -> Program:
    return program if isinstance(program, ObservedPart) else ObservedPart(program)


def _rows(pair: Pair, data: Any, key: str) -> Batch:
    seen = Pair(_observe_part(pair.model), _observe_part(pair.guide)) if key == "mask" else pair
    batch = as_batch(seen, data)
    if key not in batch:
        raise ContractError(f"the batch has {', '.join(batch)} and no {key!r}, 1 where x is known and 0 elsewhere.")
    observed = drawn_keys(pair.model, batch, given=batch)
    if "x" not in batch or "x" not in observed:
        raise ContractError(
            f"{describe(pair.model)} observes {', '.join(observed)} of {', '.join(batch)}, and what is completed is the site "
            "'x' of the key 'x'; call them so."
        )
    return batch


def _steps(pair: Pair, data: Any) -> Batch:
    """A batch of sequences, x of zeros where the mask is 0, of whatever values there are."""
    spec = known_spec(pair)
    batch = next(iter(as_split(data, spec).batches(2**20)))
    if "mask" not in batch:
        raise ContractError(f"the batch has {', '.join(batch)} and no 'mask', 1 where x is known and 0 elsewhere.")
    mask = batch["mask"]
    whole = {key: value for key, value in batch.items() if key != "mask"}
    whole["x"] = batch["x"].where(mask.bool(), batch["x"].new_zeros(()))
    return {**as_batch(pair, whole), "mask": mask.to(device_of(pair.model, pair.guide))}


def _refuse_downstream(traced: PairTrace) -> None:
    names = list(traced.model_sites)
    later = [name for name in names[names.index("x") :] if name in traced.guide_sites]
    if later:
        raise ContractError(
            f"site {later[0]!r} depends on x, so that x given the latent sites is not the likelihood; use impute."
        )


def _score_at(model: Program, guide: Program, rows: Batch, latents: Mapping[str, Tensor]) -> PairTrace:
    """The pair's trace at given latents."""
    replay = latents_trace(latents)
    return PairTrace(
        run_program(model, rows, 1, replay=replay), run_program(guide, rows, 1, replay=replay), (1, batch_size(rows))
    )


def _accept(proposal: PairTrace, current: PairTrace, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each datum's proposal with probability min(1, w_new / w_old), its present latents otherwise."""
    accept = torch.rand_like(proposal.log_weight).log() < proposal.log_weight - current.log_weight
    return {
        name: torch.where(accept.reshape(*accept.shape, *[1] * (new.dim() - 2)), new, latents[name])
        for name, new in proposal.latents.items()
    }
