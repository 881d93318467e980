"""Sentence compression that learns from known compressions beside."""

from __future__ import annotations

from dataclasses import replace

from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import COMPRESSIONS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts.sentences import compressing_pair

__all__ = ["fsc"]

OBJECTIVE = {"name": "semisupervised", "site": "c", "y": "sampled", "base": {"name": "nvil", "num_particles": 2}, "alpha": 1.0}


@recipe(
    "Miao and Blunsom",
    "Language as a Latent Variable: Discrete Generative Models for Sentence Compression",
    2016,
    sites=["c"],
    objective=OBJECTIVE,
    kinds=["tokens"],
    needs=[COMPRESSIONS],
    tiny=[tiny("sentences", embedding_dim=8, recurrent_dim=12)],
)
def fsc(spec: DataSpec, *, short_steps: int | None = None, embedding_dim: int = 64, recurrent_dim: int = 96) -> Pair:
    """asc with compressions c known in some rows: c | x mixes the words of x with the vocabulary, and learns from those too.

    One network is the guide of rows without c, where the paper points at x's words alone, and log q(c | x) of the others,
    which has the weight alpha. The language model of c is a stage of its own, trained first and frozen (fit_stages).

    Args:
        short_steps: T_c, most words of c, its end with them; None for those of the key c.
        embedding_dim: size of a word's vector.
        recurrent_dim: size of the recurrent states.

    References: Miao and Blunsom, Language as a Latent Variable: Discrete Generative Models for Sentence Compression, 2016,
    Sections 3.3 and 3.4.
    """
    return replace(compressing_pair(spec, "fsc", short_steps, (embedding_dim, recurrent_dim), True), objective=OBJECTIVE)
