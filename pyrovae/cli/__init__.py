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

from pyrovae.cli.saying import Shown, say, show_as
from pyrovae.errors import PyrovaeError, nearest

__all__ = ["main"]

COMMANDS = {  # what each does, said without importing it
    "train": "Train a pair: pyrovae train vae --data binary-mnist --epochs 50 --out runs/vae",
    "resume": "Continue a run exactly: pyrovae resume runs/vae --epochs 100",
    "evaluate": "ELBO and log p(x) of the test data, active units: pyrovae evaluate runs/vae --method ais --num_chains 16",
    "verdict": "Is the fit to be trusted, and what to do next? pyrovae verdict runs/vae",
    "gaps": "What the guide's family loses, and what its encoder: pyrovae gaps runs/vae --max_rows 100",
    "sample": "Draw from the model: pyrovae sample runs/vae --num 64 --out samples.png",
    "reconstruct": "What the pair makes of data: pyrovae reconstruct runs/sentences --lines 'a man rides a bike .'",
    "interpolate": "Between two data: pyrovae interpolate runs/sentences --lines 'a man sleeps .' 'two dogs play .'",
    "analogies": "Every class in the style of test images: pyrovae analogies runs/m2 --num 10 --out analogies.png",
    "complete": "Complete images: pyrovae complete runs/vae --mask lower-half --out completions.png",
    "attack": "Adversarial examples of a run: pyrovae attack runs/vae --kind latent --num 6 --out attack.png",
    "report": "Write pictures and one self-contained report.html: pyrovae report runs/vae",
    "to-arviz": "Write an ArviZ InferenceData as netCDF: pyrovae to-arviz runs/vae --out vae.nc",
    "check": "Does a pair keep the contract? pyrovae check my_pair.py:build --data my.npz",
    "list": "Pairs by family, data sets, their transforms, objectives and the rest: pyrovae list, or pyrovae list --json",
}
EXIT_INTERRUPTED, EXIT_TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what was asked, 2 on bad input, 130 when interrupted, 143 when terminated."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    show_as("text")
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
    from pyrovae.cli import commands  # seconds of torch, which no other use of this module waits for

    return commands.COMMANDS[args[0]](args[1:]) or 0


def _usage() -> str:
    lines = [
        "usage: pyrovae COMMAND ... [--quiet | --json] [--debug]",
        "",
        "Variational autoencoders as pairs of Pyro programs.",
        "",
    ]
    lines += [f"  {name:10s}{line}" for name, line in COMMANDS.items()]
    return "\n".join([*lines, "", "pyrovae COMMAND --help explains each."])
