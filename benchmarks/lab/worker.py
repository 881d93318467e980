"""Two processes that take turns: one asks in lines of JSON, the other answers. Plain Python, for any interpreter."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Worker", "forget_peak", "peak_mb", "resident_mb", "serve"]

ROOT = Path(__file__).parent.parent.parent


class Worker:
    """A module run by another interpreter and kept alive, idle but when it is asked.

    Args:
        python: the interpreter.
        module: one that calls :func:`serve`.
        root: folder from which it is imported.
    """

    def __init__(self, python: str | Path, module: str, root: Path = ROOT) -> None:
        self.name = module.rpartition(".")[2]
        command, environment = [str(python), "-m", module], {**os.environ, "PYTHONPATH": str(root)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=root, env=environment, text=True, **pipes)

    def ask(self, op: str, **arguments: Any) -> Any:
        """The answer of the handler ``op``; RuntimeError with its traceback's last line when it failed."""
        self.process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"{self.name} ended with code {self.process.wait()} when asked to {op}; see its messages above."
            )
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name} failed to {op}: {answer['error']}")
        return answer["value"]

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def serve(handlers: dict[str, Callable[..., Any]]) -> None:
    """Answer each line ``{"op": name, **arguments}`` of stdin with the value of that handler, until stdin ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever libraries print goes elsewhere
    for line in sys.stdin:
        arguments = json.loads(line)
        try:
            answer = {"value": handlers[arguments.pop("op")](**arguments)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


# Linux only; getrusage would do elsewhere, but a process inherits its ru_maxrss from the one that started it
def peak_mb() -> int:
    """The largest resident memory of this process so far, or since :func:`forget_peak`, in MiB."""
    return _status("VmHWM")


def resident_mb() -> int:
    """Its resident memory now."""
    return _status("VmRSS")


def forget_peak() -> None:
    """Let the peak be what is resident now, what was freed given back to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) // 1024
