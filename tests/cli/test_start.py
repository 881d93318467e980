"""Before a command is named nothing large is imported, and what is promised then is what is found later."""

import json
import subprocess
import sys

import pyrovae as pv
from pyrovae import cli
from pyrovae.cli import commands


def test_the_package_and_its_help_wait_for_nothing_large():
    ask = "import sys; from pyrovae.cli import main; main(['--help']); print('torch' in sys.modules, 'pandas' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout
    assert "pyrovae train vae" in said and said.endswith("False False\n")


def test_what_is_said_of_each_command_is_its_docstring():
    found = {name: command.__doc__.splitlines()[0] for name, command in commands.COMMANDS.items()}
    assert found == cli.COMMANDS


def test_every_public_name_is_there():
    assert all(getattr(pv, name) is not None for name in pv.__all__)
    assert set(pv.__all__) <= set(dir(pv))


def test_an_interrupt_while_a_command_is_imported_is_one_line(monkeypatch, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)
    assert cli.main(["list"]) == 130
    assert capsys.readouterr().err == "pyrovae: interrupted.\n"


def test_json_is_one_object_and_quiet_is_silent(tmp_path, capsys):
    def said(*args, code=0):
        assert cli.main(list(args)) == code
        return capsys.readouterr()

    run, out = str(tmp_path / "vae"), str(tmp_path / "draws.png")
    train = ["train", "vae", "--data", "digits", "--latent_dim", "2", "--hidden", "[4]", "--steps", "2", "--out"]
    trained = json.loads(said(*train, run, "--json").out)
    assert trained["run"] == run and trained["step"] == 2 and trained["train"] < 0
    few = ["--max_rows", "3", "--num_samples", "2", "--json"]
    assert json.loads(said("evaluate", run, *few).out)["split"] == "test"
    assert [site["name"] for site in json.loads(said("check", "vae", "--json").out)["sites"]] == ["z", "x"]
    assert json.loads(said("sample", run, "--num", "2", "--out", out, "--json").out) == {"out": out, "samples": 2}
    assert said("sample", run, "--num", "2", "--out", out, "--quiet").out == ""
    assert said(*train, str(tmp_path / "other"), "--quiet").out == ""
    assert "leave --quiet out" in said("check", "vae", "--json", "--quiet", code=2).err
    assert "2 samples" in said("sample", run, "--num", "2", "--out", out).out  # and the next command speaks again
