"""What recipes of sentences ask of their keys, and pairs whose latent is a sentence."""

from __future__ import annotations

import inspect

import pyro
from torch import Tensor, nn

from pyrovae import guides, models
from pyrovae.core.pair import Pair, as_pair
from pyrovae.data import DataSpec
from pyrovae.data.spec import END
from pyrovae.distributions import Sentences
from pyrovae.errors import OptionError
from pyrovae.nets import AttentionDecoder, PointerNetwork, SentenceEncoder, SentenceFeatures, TextDecoder, WordDecoder

__all__ = ["LanguageModel", "compressing_pair", "num_words", "require_kind", "sentence_pair", "sentence_words"]


def require_kind(spec: DataSpec, pair: str, kind: str) -> None:
    """OptionError where x is of another kind."""
    if spec.kind != kind:
        raise OptionError(
            f"pair {pair} does not score {spec.kind} data (it takes {kind}); say this kind where the data are loaded."
        )


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
            f"pair {pair} needs {key!r} of kind {' or '.join(kinds)}, (..., T) words, and {spec.name} has {came}; say its "
            f"kind where the data are loaded, as in kinds={{{key!r}: '{kinds[-1]}:200'}}."
        )
    if known.labels is not None and known.labels[0] != END:
        raise OptionError(
            f"word 0 of {key!r} is {known.labels[0]!r}, and pair {pair} ends and fills sentences with word 0; number the "
            f"words from 1, and call word 0 {END!r}."
        )
    return known.size


def sentence_words(spec: DataSpec, pair: str) -> int:
    """V of x, (T,) words of which word 0 is the end.

    Raises:
        OptionError: x is of another kind or shape, or has ``lengths`` and words without names, of which 0 may be any.
    """
    require_kind(spec, pair, "tokens")
    if len(spec.shape) != 1:
        raise OptionError(f"pair {pair} needs x of shape (T,), T words a sentence; that of {spec.name} is {spec.shape}.")
    if "lengths" in spec.keys and spec.keys[spec.main].labels is None:
        raise OptionError(
            f"{spec.name} has lengths, and its words no names: pair {pair} ends sentences with word 0 ({END}) and looks at no "
            "lengths; number the words from 1 and leave lengths out, or give lines of text."
        )
    return num_words(spec, pair, spec.main)


def sentence_pair(spec: DataSpec, decoder: TextDecoder, latent_dim: int | None, sizes: tuple[int, int]) -> Pair:
    """A decoder of text as a VAE with one latent a sentence, or for None as a language model, whose log p(x) is exact.

    Args:
        spec: of the data.
        decoder: words and z to logits of the next word.
        latent_dim: d.
        sizes: of a word's vector in the guide, and of its recurrent states.
    """
    if latent_dim is None:
        return as_pair((LanguageModel(decoder, spec.main), guides.NoLatents()))
    encoder = SentenceEncoder(decoder.step_dim, *sizes)
    guide = guides.DiagonalGaussian(SentenceFeatures(encoder, 2 * latent_dim))
    return Pair(models.SentenceVAE(decoder, latent_dim), guide, "meanfield")


class LanguageModel(nn.Module):
    """p(words) of one key of a batch, without latents: the first stage of a pair whose prior is a language model.

    Args:
        network: words to logits of the next.
        key: of the batch, which the site is called by.
    """

    def __init__(self, network: TextDecoder, key: str) -> None:
        super().__init__()
        self.network, self.key = network, key
        self.__signature__ = inspect.Signature([inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY)])

    def forward(self, **batch: Tensor) -> None:
        """Run the model, p, on a batch of B sentences."""
        words = batch[self.key]
        with pyro.plate("data", len(words), dim=-1):
            pyro.sample(self.key, Sentences(self.network, words.shape[-1:]), obs=words)


def compressing_pair(spec: DataSpec, name: str, short_steps: int | None, sizes: tuple[int, int], vocabulary: bool) -> Pair:
    """A sentence x and the shorter sentence c behind it, whose language model is a stage, trained before and frozen.

    The language model is trained on the key ``unpaired``, sentences as short as c, where data have it, else on x.

    Args:
        spec: of the data.
        name: of the pair.
        short_steps: T_c; None for that of the key c.
        sizes: of a word's vector, and of the recurrent states.
        vocabulary: whether the guide writes words that x has not.
    """
    require_kind(spec, name, "tokens")
    words, known = num_words(spec, name), spec.keys.get("c")
    if known is not None and num_words(spec, name, "c") != words:
        raise OptionError(f"c has {known.size} words and x has {words}; pair {name} needs one vocabulary of both.")
    if short_steps is None and known is None:
        raise OptionError(f"short_steps is None, and {spec.name} has no key c that says how long it is; give a number.")
    steps = int(short_steps or known.shape[0])  # type: ignore[union-attr]
    if known is not None and steps != known.shape[0]:
        raise OptionError(f"short_steps is {steps}, and c of {spec.name} has {known.shape[0]} words; leave it out.")
    key = "unpaired" if "unpaired" in spec.keys else "x"
    if num_words(spec, name, key) != words:
        raise OptionError(
            f"{key} has {spec.keys[key].size} words and x has {words}; pair {name} needs one vocabulary of both."
        )
    language = WordDecoder(words, *sizes)
    first = Pair(LanguageModel(language, key), guides.NoLatents())
    model = models.ASC(language, AttentionDecoder(words, *sizes), steps, spec.shape[0])
    return Pair(model, guides.ASCGuide(PointerNetwork(words, *sizes, vocabulary), steps), stages=(first,))
