"""Run a program: with particles, replayed, with sites given, with discrete sites enumerated."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import pyro
from pyro import poutine
from pyro.poutine.enum_messenger import EnumMessenger
from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyrovae.core.enumeration import EnumerateVectors
from pyrovae.core.program import Program, batch_size, describe, innermost, inputs
from pyrovae.core.rows import read_as_particles, repeat_rows, rows_trace
from pyrovae.core.sites import PARTICLES
from pyrovae.distributions.energies import as_energy
from pyrovae.errors import PyrovaeError

__all__ = ["energies", "has_rows", "latents_trace", "replay_trace", "run_program", "set_energies", "set_rows"]

_ROWS: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()  # whether a program takes its particles as rows
_ENERGIES: weakref.WeakKeyDictionary[Any, frozenset[str]] = weakref.WeakKeyDictionary()  # observed sites that are energies


def has_rows(program: Program) -> bool | None:
    """Whether a program takes K particles as K B rows, or on the left of the data; None where nobody has looked."""
    return _ROWS.get(innermost(program))


def set_rows(rows: bool, *programs: Program) -> None:
    """Note how programs take particles, for all later runs."""
    for program in programs:
        _ROWS[innermost(program)] = rows


def energies(model: Program) -> frozenset[str]:
    """The observed sites that are energies of the data last looked at, of no family that calls itself one."""
    return _ENERGIES.get(innermost(model), frozenset())


def set_energies(model: Program, names: frozenset[str]) -> None:
    """Note which observed sites are energies, for all later runs."""
    _ENERGIES[innermost(model)] = names


class _Energies(Messenger):
    """Distributions of observed sites as energies, by name."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__()
        self.names = names

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.names:
            msg["fn"] = as_energy(msg["fn"])


def run_program(
    program: Program,
    batch: Mapping[str, Tensor],
    num_particles: int | None = None,
    replay: poutine.Trace | None = None,
    given: Mapping[str, Tensor] | None = None,
    *,
    enumerated: str | None = None,
    marks: Messenger | None = None,
    values: Messenger | None = None,
) -> poutine.Trace:
    """Trace a program on a batch, under a plate of K particles at dim -2 unless None, or with particles as rows.

    Latent sites take their values from the trace ``replay``, or as if observed from ``given``, else they are drawn. Discrete
    sites that ask for it are enumerated left of all else: ``enumerated`` is "anew" where dimensions are free from there on,
    "further" left of those of the program that was enumerated last. ``marks`` may ask for that site by site, ``values`` may
    give the others theirs, those of rows where particles are.
    """
    rows = num_particles is not None and bool(has_rows(program))
    arguments, run = inputs(program, batch), program
    run = _Energies(names)(run) if (names := energies(program)) else run
    if num_particles is not None and rows:
        sizes = num_particles, batch_size(batch)
        arguments = repeat_rows(arguments, num_particles)
        replay = None if replay is None else rows_trace(replay, sizes)
        given = (
            None
            if given is None
            else {name: value.expand(*sizes, *value.shape[2:]).flatten(0, 1) for name, value in given.items()}
        )
    elif num_particles is not None:
        run = pyro.plate(PARTICLES, num_particles, dim=-2)(run)
    run = run if marks is None else marks(run)
    if enumerated is not None:
        first = None if enumerated == "further" else -2 if rows or num_particles is None else -3
        settled = {*(() if replay is None else replay.nodes), *(given or ())}
        run = EnumMessenger(first)(EnumerateVectors(settled)(run))
    run = run if values is None else values(run)
    run = run if replay is None else poutine.replay(run, trace=replay)  # outside of enumeration, as pyro.markov needs it
    run = run if given is None else poutine.condition(run, data=dict(given))
    try:
        trace = poutine.trace(run).get_trace(**arguments)
    except PyrovaeError as error:  # to which Pyro has added a table of shapes
        raise (error.__cause__ if isinstance(error.__cause__, PyrovaeError) else error) from None
    except Exception as error:  # by its kind some are expected; what nobody expects, the public function tells in a sentence
        shapes = {key: (tuple(value.shape), str(value.dtype)) for key, value in arguments.items()}
        error.__dict__["failed"] = f"{describe(program)} fails on a batch of {shapes}"
        raise
    return read_as_particles(trace, num_particles) if num_particles is not None and rows else trace


def latents_trace(latents: Mapping[str, Tensor]) -> poutine.Trace:
    """A trace for ``run_program(program, batch, replay=...)`` that holds latent sites at these values."""
    trace = poutine.Trace()
    for name, value in latents.items():
        trace.add_node(name, name=name, type="sample", value=value, is_observed=False, infer={})
    return trace


def replay_trace(drawn: poutine.Trace, latents: Mapping[str, Tensor]) -> poutine.Trace:
    """A trace that replays the sites of another one at these values, enumerated ones too."""
    trace = poutine.Trace()
    for name, value in latents.items():
        trace.add_node(name, **{**drawn.nodes[name], "value": value, "is_observed": False})
    return trace
