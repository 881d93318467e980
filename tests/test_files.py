"""Files written whole: no rest of what failed, no name that can be guessed, nothing read that is no file."""

from __future__ import annotations

import json
import math
import os

import pytest
import torch

from pyrovae import files
from pyrovae.errors import RunError


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def test_what_fails_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})
    for broken in ("fsync", "replace"):
        with monkeypatch.context() as patch:

            def fail(*args, **kwargs):
                raise OSError(28, "No space left on device")

            patch.setattr(os, broken, fail)
            with pytest.raises(RunError, match="No space left on device; the file that stood there is kept"):
                files.write_json(path, {"a": 2})
        assert names(tmp_path) == ["a.json"] and files.read_json(path) == {"a": 1}


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "00")
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / ".a.json.00.tmp").symlink_to(victim)
    with pytest.raises(RunError, match="cannot write"):
        files.write_json(tmp_path / "a.json", {})
    assert victim.read_text() == "mine" and not (tmp_path / "a.json").exists()


def test_temporary_names_differ_and_those_of_the_killed_are_cleared(tmp_path):
    used = []
    for _ in range(2):
        with files.temporary_beside(tmp_path / "a.json") as temporary:
            used.append(temporary.name)
            assert names(tmp_path) in ([temporary.name], sorted([temporary.name, "a.json"]))
    assert len({*used}) == 2 and names(tmp_path) == ["a.json"]
    for left in (*used, ".other.json.ab.tmp"):
        (tmp_path / left).touch()
    files.clear_temporary(tmp_path, "a.json", "b.json")
    assert names(tmp_path) == [".other.json.ab.tmp", "a.json"]


def test_json_never_holds_nan_and_a_checkpoint_keeps_it(tmp_path):
    files.write_json(tmp_path / "a.json", {"a": [math.nan, (1.0, -math.inf)], "b": {"c": math.inf}})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [None, [1.0, None]], "b": {"c": None}}
    state = {"a": (1.5, math.inf, -math.inf), "b": torch.ones(2)}
    files.save_state(tmp_path / "state", state)
    assert b"Infinity" not in (tmp_path / "state").read_bytes()
    assert files.load_state(tmp_path / "state")["a"] == state["a"]


@pytest.mark.parametrize("reader", [files.read_json, files.load_state])
def test_what_is_no_file_is_refused_and_not_waited_for(reader, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RunError, match="it is no regular file"):
        reader(tmp_path / "pipe")
    with pytest.raises(RunError, match="directory"):
        reader(tmp_path)
    (tmp_path / "deep").write_text("[" * 100_000)
    with pytest.raises(RunError):
        reader(tmp_path / "deep")


def test_whether_a_place_can_be_written_is_known_before(tmp_path):
    files.require_writable(tmp_path / "new.png")
    assert names(tmp_path) == []
    for path, message in (
        (tmp_path, "it is a folder"),
        (tmp_path / "no" / "a.png", "does not exist; make it before saving a.png"),
    ):
        with pytest.raises(RunError, match=message):
            files.require_writable(path)


def test_one_lock_a_folder_which_leaves_no_rest(tmp_path):
    taken = pytest.raises(RunError, match="is being trained by another process")
    with files.locked(tmp_path), taken, files.locked(tmp_path):
        pass
    with files.locked(tmp_path), files.locked(None):
        assert names(tmp_path) == []
