"""What a command says where nobody listens, and what it does where code of the pair ends the program."""

from __future__ import annotations

import os

import pytest

from pyrovae.cli import main
from pyrovae.cli.saying import say

TRAIN = ["train", "vae", "--latent_dim", "2", "--hidden", "[8]", "--steps", "1", "--batch_size", "500", "--progress", "false"]


def test_what_is_piped_into_a_reader_that_has_gone_goes_on(tmp_path, monkeypatch):
    """As in ``pyrovae train ... | true``."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        assert main([*TRAIN, "--out", str(tmp_path / "run")]) == 0
        say("and says no more")
        assert os.fstat(writer).st_rdev == os.stat(os.devnull).st_rdev
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("where", ["import sys\nsys.exit(0)\n", "import sys\ndef build(spec):\n    sys.exit(0)\n"])
def test_a_pair_file_that_exits_is_no_success(where, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "leaving.py").write_text(where)
    assert main(["train", "leaving.py:build"]) == 2
    assert "SystemExit: 0" in capsys.readouterr().err and not (tmp_path / "runs").exists()


def test_help_and_configurations_are_shown(capsys):
    assert main(["train", "vae", "--help"]) == 0 and "--latent_dim" in capsys.readouterr().out
    assert main(["resume", "--print_config"]) in (0, 2)


def test_configurations_that_are_no_files_or_refer_to_themselves_are_refused(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    bomb = "a: &a [x, x]\n" + "\n".join(f"b{i}: &b{i} [*{'a' if not i else f'b{i - 1}'}, *a]" for i in range(30))
    (tmp_path / "bomb.yaml").write_text(bomb)
    for name, message in (("pipe", "it is no regular file"), ("bomb.yaml", "has anchors or aliases")):
        assert main(["train", "vae", "--config", str(tmp_path / name)]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "vae", "--threads", "1000000"], "threads is 1000000; expected a whole number from 1 to"),
        (["train", "vae", "--threads", "0"], "threads is 0"),
        (["train", "vae", "--seed", "-1"], "seed is -1"),
        (["train", "vae", "--seed", str(2**70)], "seed is 1180591620717411303424"),
        (["train", "vae", "--kl_warmup", "inf"], "kl_warmup is inf"),
        (["train", "vae", "--checkpoint_seconds", "nan"], "checkpoint_seconds is nan"),
        (["train", "vae", "--validate", "false", "--patience", "3"], "patience is 3, and no validation bound"),
        (["sample", "RUN", "--seed", "-1"], "seed is -1; expected a whole number from 0"),
        (["sample", "RUN", "--num", "0"], "num is 0"),
        (["sample", "RUN", "--out", "no/folder/a.png"], "folder no/folder does not exist"),
        (["evaluate", "RUN", "--seed", str(2**70)], "seed is 1180591620717411303424"),
        (["complete", "RUN", "--num", "-1", "--mask", "center"], "num is -1; expected a whole number of at least 1"),
        (["to-arviz", "RUN", "--out", "no/folder/a.nc"], "folder no/folder does not exist"),
        (["to-arviz", "RUN", "--out", "."], "it is a folder"),
    ],
)
def test_numbers_and_places_are_checked_before_anything_is_written(words, message, tmp_path_factory, monkeypatch, capsys):
    folder = tmp_path_factory.getbasetemp() / "streams"
    if not folder.exists():
        folder.mkdir()
        monkeypatch.chdir(folder)
        assert main([*TRAIN, "--out", "RUN"]) == 0
    monkeypatch.chdir(folder)
    before = sorted(os.listdir(folder)), sorted(os.listdir(folder / "RUN"))
    capsys.readouterr()
    assert main(words) == 2
    assert message in capsys.readouterr().err
    assert before == (sorted(os.listdir(folder)), sorted(os.listdir(folder / "RUN")))
