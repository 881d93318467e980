"""The command line: ``pyrovae train vae --data binary-mnist --latent_dim 50 --out runs/vae``."""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from argparse import ArgumentError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from tqdm.contrib.logging import logging_redirect_tqdm

from pyrovae.cli.commands import COMMANDS
from pyrovae.cli.options import Shown
from pyrovae.cli.saying import say
from pyrovae.errors import PyrovaeError, nearest

__all__ = ["main"]

EXIT_INTERRUPTED, EXIT_TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what was asked, 2 on bad input, 130 when interrupted, 143 when terminated."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    try:
        with _log_shown():
            return _run(args)
    except Shown:  # --help and --print_config
        return 0
    except SystemExit as done:
        if done.code in (EXIT_TERMINATED, EXIT_INTERRUPTED):  # a second signal
            return int(done.code)
        return _fail(f"code of the pair's own called sys.exit({done.code!r}); expected a function that returns.", 2)
    except KeyboardInterrupt:
        return _fail("interrupted.", 130)
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, (PyrovaeError, ArgumentError)):
            return _fail(str(error), 2)
        return _fail(f"{type(error).__name__}: {error} (--debug shows where)", 2)


@contextmanager
def _log_shown() -> Iterator[None]:
    """What the package's log says (what was compiled, what was not, and why) on stderr, above the progress bar."""
    log, handler = logging.getLogger("pyrovae"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("pyrovae: %(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        with logging_redirect_tqdm([log]):
            yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _fail(message: str, code: int) -> int:
    print(f"pyrovae: {message}", file=sys.stderr)
    return code


def _run(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        say(_usage())
        return 0
    if args[0] == "--version":
        say(f"pyrovae {version('pyrovae')}")
        return 0
    if args[0] not in COMMANDS:
        raise nearest("command", args[0], COMMANDS)
    return COMMANDS[args[0]](args[1:]) or 0


def _usage() -> str:
    lines = ["usage: pyrovae COMMAND ... [--debug]", "", "Variational autoencoders as pairs of Pyro programs.", ""]
    lines += [f"  {name:10s}{(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", "pyrovae COMMAND --help explains each."])
