"""Text as numbers of words: whose words they are, what is not known, what has no room, and batches of like length."""

from __future__ import annotations

import importlib.util
import logging

import numpy as np
import pandas
import pytest
import torch

import pyrovae as pv
from pyrovae.data import KeySpec, as_split, as_text, load, named
from pyrovae.data.words import LONGEST_LINE, piece_words
from pyrovae.errors import DataError, OptionError

LINES = ["the cat sat", "the dog sat on the mat", "a cat", "the dog sat"] * 5


def write(path, lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def test_lines_of_a_file_are_sentences_that_end_with_word_0(tmp_path):
    data = load(write(tmp_path / "my.txt", [*LINES, "", "  "]))
    known = data.spec.keys["x"]
    assert (known.kind, known.shape, known.text) == ("tokens", (7,), "words")
    assert known.labels == ("<eos>", "<unk>", "the", "sat", "cat", "dog", "a", "mat", "on")  # by number, then alphabet
    assert len(data.train) + len(data.valid) + len(data.test) == 20
    for part in (data.train, data.valid, data.test):
        lines = as_text(part["x"], data.spec)
        assert set(lines) <= set(LINES)
        assert part["lengths"].tolist() == [len(line.split()) + 1 for line in lines]
    assert KeySpec.from_json(known.to_json()) == known
    assert load(**data.source, like=data.spec).fingerprint() == data.fingerprint()


def test_words_are_those_of_training_and_others_are_said(caplog):
    train, test = {"x": np.array(["a b b", "b c"], object)}, {"x": np.array(["a d", "e d"], object)}
    with caplog.at_level(logging.INFO):
        data = load((train, train, test), kinds={"x": "tokens:4"})
    assert data.spec.keys["x"].labels == ("<eos>", "<unk>", "b", "a")
    assert as_text(data.test["x"], data.spec) == ["a <unk>", "<unk> <unk>"]
    told = {record.levelname: record.getMessage() for record in caplog.records if "not known" in record.getMessage()}
    assert "(train), x: 1 of 5 words (20.0%) are not known and become <unk>: c." in told["INFO"]
    assert "(test), x: 3 of 4 words (75.0%) are not known and become <unk>: d, e." in told["WARNING"]


def test_new_lines_are_read_as_the_pair_knows_words(caplog):
    spec = load({"x": LINES}, kinds={"x": "tokens"}).spec
    rows = as_split({"x": ["the cow sat", "a"]}, spec)
    assert as_text(rows["x"], spec) == ["the <unk> sat", "a"] and "1 of 4 words (25.0%)" in caplog.text
    with pytest.raises(DataError, match="line 2 has 7 words, and there is room for 6 and the end"):
        as_split({"x": ["a", "the the the the the the cat"]}, spec)
    with pytest.raises(DataError, match="line 1 has the word <eos>, which ends each line"):
        as_split({"x": ["a <eos> cat"]}, spec)
    words = named.NAMED["grammar-sentences"].words(None)
    closed = KeySpec((4,), "tokens", size=len(words), labels=words, text="words")
    with pytest.raises(DataError, match="frog is none of the 188 words, of which none stands for what is not known"):
        as_split({"x": ["frog sees"]}, pv.data.DataSpec("closed", keys={"x": closed}))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["", " "], "holds no words"),
        (["a a", "a", "a", "a a"], r"has 1 word\(s\) to learn from \('a'\); expected two at least"),
        (["a b", "b " * LONGEST_LINE, "c"], "line . has 1,000 words; expected fewer than 1,000"),
    ],
)
def test_what_is_no_text_to_learn_from_is_refused(tmp_path, lines, message):
    with pytest.raises(DataError, match=message):
        load(write(tmp_path / "bad.txt", lines))


def test_options_that_text_has_no_use_for_are_refused(tmp_path):
    with pytest.raises(OptionError, match="missing is 'mask', but .* has text"):
        load(write(tmp_path / "a.txt", LINES), missing="mask")
    with pytest.raises(DataError, match="told to be counts of 5 words and is no text"):
        load({"x": np.ones((9, 3), int)}, kinds={"x": "count:5"})
    with pytest.raises(DataError, match="told to be characters .*; expected lines of text"):
        load({"x": np.ones((9, 3), int)}, kinds={"x": "characters"})
    with pytest.raises(DataError, match="names; expected tokens with labels|no names"):
        as_text(torch.zeros(1, 2, dtype=torch.int64), KeySpec((2,), "tokens", size=3))


def test_characters_and_counts_of_a_column(tmp_path):
    data = load({"x": ["ab a", "ba"] * 5}, kinds={"x": "characters"})
    assert data.spec.keys["x"].labels == ("<eos>", "<unk>", "a", "b", " ") and data.spec.shape == (5,)
    assert set(as_text(data.train["x"], data.spec)) == {"ab a", "ba"}
    frame = pandas.DataFrame({"text": LINES, "stars": [1, 2, 2, 1] * 5})
    frame.to_csv(tmp_path / "my.csv", index=False)
    counted = load(tmp_path / "my.csv", columns={"x": ["text"], "y": "stars"}, kinds={"x": "count:3"})
    assert counted.spec.keys["x"].labels == ("the", "sat", "cat") and counted.spec.classes == 2
    rows = {tuple(row) for row in counted.train["x"].tolist()}
    assert rows == {(1, 1, 1), (2, 1, 0), (0, 0, 1), (1, 1, 0)}
    again = as_split(frame[:2], counted.spec)
    assert again["x"].tolist() == [[1, 1, 1], [2, 1, 0]]


def test_subwords_are_found_by_their_library_and_read_without_it():
    known = KeySpec((6,), "tokens", size=6, labels=("<eos>", "<unk>", "un", "##see", "##seen", "see"), text="subwords")
    rows = as_split({"x": ["see unseen", "unsee it"]}, pv.data.DataSpec("pieces", keys={"x": known}))
    assert rows["x"].tolist() == [[5, 2, 4, 0, 0, 0], [2, 3, 1, 0, 0, 0]]
    assert as_text(rows["x"], known) == ["see unseen", "unsee <unk>"]
    assert piece_words("xx", {"un"}) == ["<unk>"]
    if importlib.util.find_spec("tokenizers") is None:
        with pytest.raises(DataError, match="pip install tokenizers"):
            load({"x": LINES}, kinds={"x": "subwords:30"})
        return
    data = load({"x": LINES}, kinds={"x": "subwords:30"})
    assert data.spec.keys["x"].size <= 30 and set(as_text(data.train["x"], data.spec)) <= set(LINES)


def test_named_sentences_of_made_up_files(tmp_path):
    (tmp_path / "PennTreebank").mkdir()
    words = np.array(["cat", "<eos>", "sat", "<unk>"])
    streams = {part: np.array([0, 2, 1, 3, 1], np.uint16) for part in ("train", "valid", "test")}
    np.savez(tmp_path / "PennTreebank" / "ptb.npz", vocabulary=words, **streams)
    found = named.NAMED["penn-treebank"]
    rows, labels = found.read(tmp_path)["test"], found.words(tmp_path)
    assert labels == ("<eos>", "<unk>", "cat", "sat")
    assert rows["x"].tolist() == [[2, 3, 0], [1, 0, 0]] and rows["lengths"].tolist() == [3, 2]
    (tmp_path / "TinyShakespeare").mkdir()
    (tmp_path / "TinyShakespeare" / "input.txt").write_text("To be, or not to be: " * 100)
    plays = named.NAMED["tiny-shakespeare"]
    parts, characters = plays.read(tmp_path), plays.words(tmp_path)
    assert "".join(characters[c] for c in parts["train"]["x"][0]) == ("To be, or not to be: " * 3)[:60]
    assert all((rows["x"] > 1).all() for rows in parts.values())
    (tmp_path / "Multi30k").mkdir()
    for part in ("train", "valid", "test"):
        write(tmp_path / "Multi30k" / f"{part}.en.txt", LINES)
    data = load("multi30k", root=tmp_path)
    assert set(as_text(data.test["x"], data.spec)) == set(LINES) and data.spec.keys["x"].text == "words"


def test_batches_of_like_length_are_cut_and_seeded():
    rng = np.random.default_rng(0)
    data = load({"x": [" ".join(rng.choice(list("abc"), rng.integers(1, 20))) for _ in range(103)]}, kinds={"x": "tokens"})
    split = pv.data.like_length(data, pool=5, multiple=4).train
    batches = list(split.epoch(8, seed=1, epoch=2))
    assert sorted(torch.cat([batch["index"] for batch in batches]).tolist()) == list(range(len(split)))
    assert [len(batch["x"]) for batch in batches] == [8] * (len(split) // 8) + [len(split) % 8]
    for batch in batches:
        longest = int(batch["lengths"].max())
        assert batch["x"].shape[1] == min(-(-longest // 4) * 4, data.spec.shape[0])
        whole = split[batch["index"]]["x"]
        assert torch.equal(whole[:, : batch["x"].shape[1]], batch["x"]) and not whole[:, batch["x"].shape[1] :].any()
    spread = [int(batch["lengths"].max() - batch["lengths"].min()) for batch in batches[:-1]]
    drawn = [int(b["lengths"].max() - b["lengths"].min()) for b in data.train.epoch(8, seed=1, epoch=2)]
    assert sum(spread) < sum(drawn) / 2
    for number, batch in enumerate(split.epoch(8, seed=1, epoch=2, start=3)):
        assert all(torch.equal(batch[key], batches[number + 3][key]) for key in batch)
    assert not torch.equal(next(split.epoch(8, seed=1, epoch=3))["index"], batches[0]["index"])
    assert split.fingerprint() != data.train.fingerprint()
    with pytest.raises(DataError, match="has no lengths, by which like-length sorts"):
        load("digits", transforms=["like-length"])
    with pytest.raises(OptionError, match="multiple is 0"):
        pv.data.like_length(data, multiple=0)
