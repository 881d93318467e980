"""Before a command is named nothing large is imported, and what is promised then is what is found later."""

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
