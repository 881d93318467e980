"""Sentence compression by an autoencoder whose code is a sentence."""

from __future__ import annotations

from dataclasses import replace

from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts.sentences import compressing_pair

__all__ = ["asc"]

OBJECTIVE = {"name": "nvil", "num_particles": 2}


@recipe(
    "Miao and Blunsom",
    "Language as a Latent Variable: Discrete Generative Models for Sentence Compression",
    2016,
    sites=["c"],
    objective=OBJECTIVE,
    kinds=["tokens"],
    tiny=[tiny("sentences", embedding_dim=8, recurrent_dim=12)],
)
def asc(spec: DataSpec, *, short_steps: int | None = None, embedding_dim: int = 64, recurrent_dim: int = 96) -> Pair:
    """A sentence x, (T,), written from a shorter one: c ~ a language model, x | c by attention, c | x pointing at x's words.

    The language model is a stage of its own, trained first and frozen (fit_stages): trained with the rest it would follow the
    guide, whatever that writes. It learns from the key ``unpaired`` where data have one, else from x. Rows whose c is known
    (``few-labels:keys=[c]``) are for objective 'semisupervised:site=c,y=sampled,base=nvil'. The paper weighs the KL by lambda
    = 0.1: 'elbo:beta=0.1' trains that, which is no bound on log p(x); what is logged and evaluated has lambda = 1. The guide
    never proposes words that x has not, so that log p(x) by importance stays below the truth however many samples it takes.

    Args:
        short_steps: T_c, most words of c, its end with them; None for those of the key c.
        embedding_dim: size of a word's vector.
        recurrent_dim: size of the recurrent states.

    References: Miao and Blunsom, Language as a Latent Variable: Discrete Generative Models for Sentence Compression, 2016,
    Sections 3.1 and 3.2.
    """
    return replace(compressing_pair(spec, "asc", short_steps, (embedding_dim, recurrent_dim), False), objective=OBJECTIVE)
