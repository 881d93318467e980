"""The energy of a deterministic autoencoder, and what keeps its decoder smooth."""

from __future__ import annotations

from pyrovae.errors import UnusedOptionError, nearest

__all__ = ["regularized_energy"]

PENALTIES = {"l2": {"name": "weight-decay"}, "gradient": {"name": "contraction", "of": "decoder"}}


def regularized_energy(regularization: str, weight: float | None, beta: float) -> dict[str, object]:
    """The energy, and the penalty of the decoder that is asked for."""
    if regularization not in (known := ("none", *PENALTIES, "spectral-norm")):
        raise nearest("regularization of rae", regularization, known)
    if weight is not None and regularization not in PENALTIES:
        raise UnusedOptionError(f"weight={weight!r} is of no penalty of regularization={regularization!r}; omit it.", "weight")
    energy: dict[str, object] = {"name": "energy", "beta": beta}
    if regularization not in PENALTIES:
        return energy
    return {**PENALTIES[regularization], "weight": 0.01 if weight is None else weight, "base": energy}
