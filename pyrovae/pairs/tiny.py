"""Configurations of a recipe that are small enough for tests: a form of the 8x8 digits or of other small data, and options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["FORMS", "Tiny", "tiny"]

# arguments of data.load: of the digits, of digits as rows of counts, of a table with gaps, of blocks of known factors, and of
# sentences by rule
FORMS: dict[str, dict[str, Any]] = {
    "digits": {},
    "grey": {"binarization": "none"},
    "counts": {"kinds": {"x": "count"}, "transforms": ["library-size"]},
    "table": {"missing": "mask", "kinds": {"visits": "count", "share": "unit"}, "transforms": ["standardize"]},
    "labels": {"transforms": ["few-labels:num_labels=100"]},
    "missing": {"transforms": ["missing:rate=0.3"]},
    "quadrants": {"transforms": ["quadrants:given=2"]},
    "masking": {"transforms": ["corrupt:process=masking,rate=0.3"]},
    "pairs": {"transforms": ["groups:size=2"]},
    "neighbours": {"transforms": ["neighbours:num=3"]},
    "moved": {"binarization": "none", "transforms": ["affine:source=true"]},
    "varying": {
        "kinds": {"row": "ordinal:5", "column": "ordinal:5", "size": "ordinal:3"},
        "transforms": ["varying:size=2,factors=[row,column]"],
    },
    "sets": {"transforms": ["shuffle"]},
    "functions": {"transforms": ["pixels", "context:least=3,most=30"]},
    "numbered": {"transforms": ["row-numbers"]},
    "entries": {"kinds": {"row": "category:5", "column": "category:5"}},
    "unpaired": {"binarization": "none", "transforms": ["unpaired:change=invert"]},
    "sentences": {
        "kinds": {"x": "tokens:188", "unpaired": "tokens:188", "c": "category:188"},
        "transforms": ["few-labels:keys=[c]"],
    },
    "lines": {},
    "answers": {"kinds": {"x": "binary", "question": "tokens:163", "answer": "tokens:163"}},
    "dialogues": {"kinds": {"x": "tokens:125"}},
    "noise": {"binarization": "none", "transforms": ["corrupt:process=gaussian,scale=0.3,parts=all"]},
}


@dataclass(frozen=True)
class Tiny:
    """A form of the data, one of :data:`FORMS`, and options of the recipe."""

    form: str
    options: Mapping[str, Any]


def tiny(form: str, /, **options: Any) -> Tiny:
    """A small configuration of a recipe.

    >>> tiny("grey", latent_dim=3).options
    {'latent_dim': 3}
    """
    return Tiny(form, options)
