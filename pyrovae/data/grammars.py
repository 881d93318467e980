"""Sentences, questions with answers, and dialogues, drawn by rule: what is said in short, asked for or intended is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyrovae.data.spec import END
from pyrovae.errors import OptionError

__all__ = [
    "END",
    "GRAMMARS",
    "answer_rows",
    "answer_words",
    "dialogue_rows",
    "dialogue_words",
    "read_grammar",
    "sentence_rows",
    "sentence_words",
]

Rows = dict[str, np.ndarray]


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NOUNS = _listed(
    "actor baker banker boxer builder butcher captain chef child clerk coach cook critic dancer dentist doctor driver "
    "farmer fisher guard guest guide hunter judge king lawyer lender maid mayor miner monk nurse officer owner painter "
    "pilot player poet porter priest prince queen ranger runner sailor scholar seller singer smith soldier tailor teacher "
    "thief trader uncle visitor waiter warden weaver writer"
)
TRANSITIVE = _listed(
    "admires advises blames calls catches chases envies fears finds follows greets guards hears helps hires hates hugs "
    "invites joins knows leads likes meets misses needs pays praises saves sees thanks trusts visits warns watches"
)
INTRANSITIVE = _listed(
    "arrives climbs coughs cries dances dreams falls kneels laughs leaves rests rises runs shouts sings sleeps smiles "
    "swims travels waits"
)
ADJECTIVES = _listed(
    "angry brave calm clever cold cruel curious famous fat foreign gentle grumpy happy honest hungry kind lazy lonely "
    "lucky noble old poor proud quiet rich rude sad short shy sick strong tall tired wise young"
)
ADVERBS = _listed(
    "badly bravely calmly eagerly finally gladly loudly often openly quickly quietly rarely sadly secretly slowly softly "
    "still suddenly warmly wisely"
)
PREPOSITIONS = _listed("above behind below beside near past toward with")
TIMES = _listed("again later now sometimes soon then today tomorrow tonight yesterday")
JOINERS = ("and", "or", "then", "with")
OPENERS = ("hello", "well", "so", "thanks", "bye")
ASKED = {"who": NOUNS[:20], "how": ADVERBS, "when": TIMES}  # what a question asks for -> the words that answer it

SHARE_OF_MODIFIERS = 0.5
SENTENCE_STEPS, SHORT_STEPS = 12, 4
NUM_CANDIDATES, QUESTION_STEPS, ANSWER_STEPS, NUM_TOPICS = 6, 4, 9, 20
NUM_UTTERANCES, UTTERANCE_STEPS, NUM_INTENTS, MOOD_DIM = 5, 12, 6, 4
INTENT_SCALE, MOOD_SCALE, SHARPNESS = 1.2, 1.0, 0.8
WORLD_SEED = 20  # of which words go with which mood: the same in every set of dialogues


def sentence_words() -> tuple[str, ...]:
    """The vocabulary of grammar-sentences, END first."""
    return (END, *NOUNS, *TRANSITIVE, *INTRANSITIVE, *ADJECTIVES, *ADVERBS, *PREPOSITIONS, *TIMES)


def answer_words() -> tuple[str, ...]:
    """The vocabulary of grammar-answers, END first."""
    return (END, *ASKED, *NOUNS, *TRANSITIVE, *ADJECTIVES, *ADVERBS, *TIMES)


def dialogue_words() -> tuple[str, ...]:
    """The vocabulary of grammar-dialogues, END first."""
    return (END, *OPENERS, *JOINERS, *NOUNS, *ADJECTIVES, *ADVERBS)


def _numbers(sentences: Sequence[Sequence[str]], words: tuple[str, ...], steps: int) -> np.ndarray:
    """Sentences as numbers of words, (N, steps), ended and filled by 0."""
    number = {word: index for index, word in enumerate(words)}
    rows = np.zeros((len(sentences), steps), np.int64)
    for row, sentence in zip(rows, sentences, strict=True):
        row[: len(sentence)] = [number[word] for word in sentence]
    return rows


def _refuse(num: int) -> None:
    if num < 1:
        raise OptionError(f"num is {num}; expected a whole number of at least 1.")


# ------------------------------------------------------------------------------------------------ sentences
def _sentence(rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """A sentence and what it says in short: subject, verb and object, without modifiers."""

    def phrase(noun: str) -> list[str]:
        before = [rng.choice(ADJECTIVES)] if rng.random() < SHARE_OF_MODIFIERS else []
        after = [rng.choice(PREPOSITIONS), rng.choice(NOUNS)] if rng.random() < SHARE_OF_MODIFIERS else []
        return [*before, noun, *after]

    subject, other = rng.choice(NOUNS, 2, replace=False)
    transitive = rng.random() < len(TRANSITIVE) / len(TRANSITIVE + INTRANSITIVE)
    verb = rng.choice(TRANSITIVE if transitive else INTRANSITIVE)
    how = [rng.choice(ADVERBS)] if rng.random() < SHARE_OF_MODIFIERS else []
    when = [rng.choice(TIMES)] if rng.random() < SHARE_OF_MODIFIERS else []
    whole = [*phrase(subject), *how, verb, *(phrase(other) if transitive else []), *when]
    return whole, [subject, verb, *([other] if transitive else [])]


def sentence_rows(num: int, seed: int = 0) -> Rows:
    """Sentences x, (num, 12), each with its compression c, (num, 4), and one of another sentence, ``unpaired``, (num, 4).

        x: [adjective] noun [preposition noun] [adverb] verb ([adjective] noun [preposition noun]) [time]
        c: noun verb (noun)

    What is in brackets is a modifier, there half of the time; its nouns are those of subjects and objects.

    >>> rows = sentence_rows(2)
    >>> [" ".join(sentence_words()[word] for word in row if word) for row in rows["c"]]
    ['tailor follows porter', 'singer helps driver']
    """
    _refuse(num)
    rng = np.random.default_rng(seed)
    pairs = [_sentence(rng) for _ in range(num)]
    others = [_sentence(rng)[1] for _ in range(num)]
    words = sentence_words()
    whole, short = ([pair[part] for pair in pairs] for part in (0, 1))
    return {
        "x": _numbers(whole, words, SENTENCE_STEPS),
        "c": _numbers(short, words, SHORT_STEPS),
        "unpaired": _numbers(others, words, SHORT_STEPS),
    }


# ------------------------------------------------------------------------------------------------ questions and answers
def _answer(rng: np.random.Generator, topic: str, asked: str, about_it: bool, says_it: bool) -> list[str]:
    """A candidate that is about the topic or another, and has a word that was asked for or none."""
    topics = NOUNS[-NUM_TOPICS:]
    kinds = [kind for kind in ASKED if kind != asked]
    told = asked if says_it else str(rng.choice(kinds))
    about = topic if about_it else str(rng.choice([other for other in topics if other != topic]))
    filler = list(rng.choice(ADJECTIVES, rng.integers(1, 4), replace=False))
    parts = [about, str(rng.choice(TRANSITIVE)), str(rng.choice(ASKED[told])), *filler]
    return [parts[index] for index in rng.permutation(len(parts))]


def answer_rows(num: int, seed: int = 0) -> Rows:
    """Questions with six candidates each: a row is a question, (4,), an answer, (9,), and x, whether it is relevant.

    A question asks who, how or when of a topic. A candidate is relevant where it names the topic and has a word that was
    asked for: one or two of six; others name another topic, or have a word that answers another question. ``group`` is the
    question's number. The order of words says nothing.

    >>> rows = answer_rows(2)
    >>> rows["question"].shape, sorted(set(rows["group"].tolist()))
    ((12, 4), [0, 1])
    """
    _refuse(num)
    rng = np.random.default_rng(seed)
    questions, answers, relevant = [], [], []
    for _ in range(num):
        topic, asked = str(rng.choice(NOUNS[-NUM_TOPICS:])), str(rng.choice(list(ASKED)))
        question = [asked, *rng.permutation([topic, str(rng.choice(TRANSITIVE))])]
        right = int(rng.integers(1, 3))
        wrong = [(True, False), (False, True), (True, False), (False, True), (False, False)]
        for about_it, says_it in [(True, True)] * right + wrong[: NUM_CANDIDATES - right]:
            questions.append(question)
            answers.append(_answer(rng, topic, asked, about_it, says_it))
            relevant.append(about_it and says_it)
    words = answer_words()
    return {
        "x": np.asarray(relevant, np.int64),
        "question": _numbers(questions, words, QUESTION_STEPS),
        "answer": _numbers(answers, words, ANSWER_STEPS),
        "group": np.repeat(np.arange(num), NUM_CANDIDATES),
    }


# ------------------------------------------------------------------------------------------------ dialogues
def _world() -> tuple[np.ndarray, np.ndarray]:
    """The moods of intents, (6, 4), and the moods that words go with, (W, 4)."""
    rng = np.random.default_rng(WORLD_SEED)
    intents = rng.normal(size=(NUM_INTENTS, MOOD_DIM))
    intents *= INTENT_SCALE * np.sqrt(MOOD_DIM) / np.linalg.norm(intents, axis=1, keepdims=True)
    return intents, rng.normal(size=(len(NOUNS + ADJECTIVES + ADVERBS), MOOD_DIM))


def _utterance(rng: np.random.Generator, number: int, chances: np.ndarray) -> list[str]:
    """An opener, and four to eight words of its mood, a joiner before the last."""
    content = NOUNS + ADJECTIVES + ADVERBS
    *first, last = [content[index] for index in rng.choice(len(content), rng.integers(4, 9), p=chances)]
    return [OPENERS[number], *first, str(rng.choice(JOINERS)), last]


def dialogue_rows(num: int, seed: int = 0) -> Rows:
    """Dialogues x, (num, 5, 12), of ``lengths`` 2 to 5 utterances, each ended by word 0, and the hidden intent y of each.

        u_n ~ N(m_y, I_4),   p(word) proportional to exp(.8 e_word . u_n)

    Given its mood u_n the content words of an utterance are independent, so that they share what no word says alone.

    >>> rows = dialogue_rows(3)
    >>> rows["x"].shape, int(rows["lengths"].min()) >= 2
    ((3, 5, 12), True)
    """
    _refuse(num)
    rng, (intents, meanings) = np.random.default_rng(seed), _world()
    words = dialogue_words()
    y, lengths = rng.integers(NUM_INTENTS, size=num), rng.integers(2, NUM_UTTERANCES + 1, size=num)
    x = np.zeros((num, NUM_UTTERANCES, UTTERANCE_STEPS), np.int64)
    for row, intent, length in zip(x, y, lengths, strict=True):
        for number in range(length):
            mood = intents[intent] + MOOD_SCALE * rng.normal(size=MOOD_DIM)
            logits = SHARPNESS * meanings @ mood
            chances = np.exp(logits - logits.max())
            row[number] = _numbers([_utterance(rng, number, chances / chances.sum())], words, UTTERANCE_STEPS)[0]
    return {"x": x, "lengths": lengths, "y": y}


def read_grammar(rows: Callable[[int, int], Rows], sizes: Sequence[int]) -> Callable[[str | Path | None], dict[str, Rows]]:
    """What reads a set of train, valid and test rows of such sizes, each part of a seed of its own."""

    def read(root: str | Path | None = None) -> dict[str, Rows]:
        return {
            part: rows(size, seed) for seed, (part, size) in enumerate(zip(("train", "valid", "test"), sizes, strict=True))
        }

    return read


GRAMMARS: dict[str, dict[str, Any]] = {  # named sets
    "grammar-sentences": {
        "about": "5,000 sentences by rule, (12,), each with its compression c, (4,), and one of another sentence, unpaired",
        "read": read_grammar(sentence_rows, (4000, 500, 500)),
        "kinds": dict.fromkeys(("x", "unpaired"), f"tokens:{len(sentence_words())}")
        | {"c": f"category:{len(sentence_words())}"},
        "words": lambda root: sentence_words(),
    },
    "grammar-answers": {
        "about": "800 questions by rule, each with 6 candidate answers; x is whether one is relevant, group the question",
        "read": read_grammar(answer_rows, (400, 100, 300)),
        "kinds": {"x": "binary"} | dict.fromkeys(("question", "answer"), f"tokens:{len(answer_words())}"),
        "words": lambda root: answer_words(),
    },
    "grammar-dialogues": {
        "about": "1,400 dialogues by rule of 2 to 5 utterances, (5, 12), with their lengths and hidden intents y",
        "read": read_grammar(dialogue_rows, (1000, 200, 200)),
        "kinds": {"x": f"tokens:{len(dialogue_words())}"},
        "words": lambda root: dialogue_words(),
    },
}
