"""What recipes of sentences ask of their keys."""

from __future__ import annotations

from pyrovae.data import DataSpec
from pyrovae.data.grammars import END
from pyrovae.errors import OptionError

__all__ = ["num_words", "require_kind"]


def require_kind(spec: DataSpec, pair: str, kind: str) -> None:
    """OptionError where x is of another kind."""
    if spec.kind != kind:
        raise OptionError(f"pair {pair} does not score {spec.kind} data (it takes {kind}); give x this kind, or another pair.")


def num_words(spec: DataSpec, pair: str, key: str = "x") -> int:
    """V of a key of sentences whose word 0 is the end.

    Raises:
        OptionError: a key that is missing, of another kind, or whose word 0 is another word.
    """
    known = spec.keys.get(key)
    kinds = ("tokens",) if key != "c" else ("tokens", "category")
    if known is None or known.kind not in kinds or not known.shape or known.size is None:
        came = "no such key" if known is None else f"a key of kind {known.kind} and shape {known.shape}"
        raise OptionError(
            f"pair {pair} needs {key!r} of kind {' or '.join(kinds)}, (..., T) words, and {spec.name} has {came}; say its kind "
            f"where the data are loaded, as in kinds={{{key!r}: '{kinds[-1]}:200'}}."
        )
    if known.labels is not None and known.labels[0] != END:
        raise OptionError(
            f"word 0 of {key!r} is {known.labels[0]!r}, and pair {pair} ends and fills sentences with word 0; number the words "
            f"from 1, and call word 0 {END!r}."
        )
    return known.size
