"""Draws that move: a model's fantasies along the Markov chains of its prior, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.aggregate import base_of
from pyrovae.core.inference import inference
from pyrovae.core.pair import PairLike, as_pair
from pyrovae.core.program import template
from pyrovae.distributions.rbm import RBM, BoltzmannMachine
from pyrovae.errors import ContractError
from pyrovae.generate.decoding import decode
from pyrovae.generate.given import example_sites

__all__ = ["chain_film"]


@public()
def chain_film(
    pair: PairLike,
    num: int = 16,
    frames: int = 50,
    sweeps: int = 1,
    seed: int = 0,
    like: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """E[x | z] along Gibbs chains of a prior that is a restricted Boltzmann machine: (F, n, *shape), frame by frame.

        v ~ p(v | u),   u ~ p(u | v),   so often between frames; a frame is x at z = (u, v)

    The chains begin at the persistent ones of training, and are themselves left as they are.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        num: n, chains side by side.
        frames: F.
        sweeps: Gibbs sweeps from a frame to the next.
        seed: of the chains.
        like: covariates of the model, one row.

    Raises:
        ContractError: no prior of the model is such a machine, so that there is no chain to follow.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import rbm_vae
    >>> pair = rbm_vae(DataSpec("toy", (4, 4), "binary"), num_bits=6, num_chains=5)
    >>> chain_film(pair, num=2, frames=3).shape
    torch.Size([3, 2, 4, 4])
    """
    pair = as_pair(pair)
    with inference(pair, seed=seed):
        sites = example_sites(pair.model, template(pair.model, 1, like))
        machines = {name: base_of(site["fn"]) for name, site in sites.items()}
        machines = {name: fn.machine for name, fn in machines.items() if isinstance(fn, RBM)}
        if not machines:
            raise ContractError(
                f"a film follows the Markov chains of a prior, and none of {', '.join(sites)} has a Boltzmann machine as "
                "prior (as in rbm-vae); draw a picture instead."
            )
        name, machine = next(iter(machines.items()))
        chain = gibbs_chain(machine, num, frames, sweeps)
    return decode(pair, {name: chain}, like=like)


@torch.no_grad()
def gibbs_chain(machine: BoltzmannMachine, num: int, frames: int, sweeps: int) -> Tensor:
    """z = (u, v) along Gibbs chains, (F, n, bits), which begin at the machine's own chains."""
    chosen = torch.randint(len(machine.chains), (num,), device=machine.chains.device)
    u, found = machine.chains[chosen], []
    for frame in range(frames):
        u = machine.sweep(u, sweeps) if frame else u
        v = torch.bernoulli((machine.b + u @ machine.weight).sigmoid())
        found.append(torch.cat([u, v], -1))
    return torch.stack(found)
