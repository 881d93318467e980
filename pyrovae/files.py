"""Files of a run: written whole or not at all, and never executed by reading them."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from pyrovae.errors import RunError

try:
    import fcntl
except ImportError:  # of systems that are not POSIX
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "clear_folder",
    "clear_temporary",
    "file_name",
    "load_state",
    "locked",
    "make_folder",
    "random_states",
    "read_json",
    "read_regular",
    "require_writable",
    "save_state",
    "set_random_states",
    "temporary_beside",
    "write_json",
    "write_whole",
]

TEMPORARY = ".tmp"


def make_folder(path: str | os.PathLike[str], needs: str, leftovers: Collection[str] = ()) -> Path:
    """Make a new run folder; refuses one that holds anything, but for what a run left that died before it had ``needs``.

    Args:
        path: the folder.
        needs: name of the file without which a run has nothing to go on from.
        leftovers: names that such a run may have left there.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = {each.name for each in folder.iterdir() if not _is_temporary(each.name)}
        if needs in held or not held <= {*leftovers}:
            raise RunError(
                f"run folder {folder} exists and is not empty; choose another `out`, or resume it (pyrovae resume {folder})."
            )
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RunError(f"cannot make run folder {folder}: {error.strerror or error}; choose another `out`.") from error
    return folder


@contextmanager
def locked(folder: Path | None) -> Iterator[None]:
    """Within it no other process, or thread, writes this run; RunError where one does. Without a folder nothing is locked."""
    if folder is None or fcntl is None:
        yield
        return
    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise RunError(f"run folder {folder} cannot be opened: {error.strerror or error}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise RunError(f"{folder} is being trained by another process; wait for its end, or end it first.") from error
    except OSError:  # a file system that has no locks
        pass
    try:
        yield
    finally:
        os.close(lock)


def clear_folder(folder: Path) -> None:
    """Remove all that lies in a folder, which is locked."""
    try:
        for each in folder.iterdir():
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    except OSError as error:
        raise RunError(f"cannot clear run folder {folder}: {error.strerror or error}; choose another `out`.") from error


def file_name(text: str) -> str:
    """A name that is safe in any folder: letters, digits, ``.``, ``-`` and ``_``; a digest tells apart what others become.

    >>> file_name("samples_z1"), file_name("../z")
    ('samples_z1', '_.._z-816b1c4d')
    """
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", text)
    safe = f"_{safe}" if safe.startswith(".") else safe
    return text if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def require_writable(path: str | os.PathLike[str]) -> None:
    """RunError unless a file can be written there: to be asked before the hours that make its content."""
    path = Path(path)
    try:
        if path.is_dir():
            raise RunError(f"cannot write {path}: it is a folder; give the name of a file.")
        if not path.parent.is_dir():
            raise RunError(f"folder {path.parent} does not exist; make it before saving {path.name} there.")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}.") from error


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A new empty file in the same folder, which takes the place of ``path`` at the end; RunError where it cannot.

    Its name cannot be guessed, and nothing that stands there, a link least of all, is opened. What fails leaves no rest.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{TEMPORARY}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        os.close(os.open(temporary, flags, 0o666))
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        kept = "; the file that stood there is kept" if path.exists() else ""
        raise RunError(f"cannot write {path}: {error.strerror or error}{kept}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, or leave the one that stands: through a temporary file in the same folder and a rename."""
    with temporary_beside(path) as temporary, open(temporary, "wb", opener=_without_links) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _without_links(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0))


def clear_temporary(folder: Path, *names: str) -> None:
    """Remove what writers of these files left that were killed; to be called by who alone writes them."""
    for each in folder.glob(f".*{TEMPORARY}") if folder.is_dir() else ():
        if _is_temporary(each.name) and each.name[1:].rpartition(".")[0].rpartition(".")[0] in names:
            with suppress(OSError):
                each.unlink()


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(TEMPORARY)


def write_json(path: Path, content: Any) -> None:
    """:func:`write_whole` of indented JSON, with null for what is not a finite number."""
    write_whole(path, (json.dumps(_finite(content), indent=2, allow_nan=False) + "\n").encode())


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read_regular(path: Path) -> bytes:
    """The bytes of a file, which is no pipe nor device; OSError."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is no regular file")
        return file.read()


def read_json(path: Path, kind: type = dict) -> Any:
    """The content of a JSON file, a dict or what else is expected; RunError when it is missing or broken."""
    try:
        content = json.loads(read_regular(path))
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing; {path.parent} is no run folder.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from error
    if not isinstance(content, kind):
        raise RunError(f"{path} holds a {type(content).__name__}; expected a {kind.__name__}.")
    return content


def save_state(path: Path, state: Any) -> None:
    """Save nested dicts, lists and tuples of tensors and JSON values as one safetensors file.

    The tensors are its tensors; everything else is JSON in its header, so that one rename writes both.
    """
    tensors: dict[str, Tensor] = {}
    header = {"pyrovae": json.dumps(_pack(state, tensors))}
    write_whole(path, safetensors.torch.save(tensors, metadata=header))


def load_state(path: Path) -> Any:
    """What :func:`save_state` saved; RunError when the file is missing, truncated or of another make."""
    try:
        content = read_regular(path)  # in one go: a run may be writing the next one
        tensors = safetensors.torch.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        return _unpack(json.loads(header["pyrovae"]), tensors)
    except FileNotFoundError as error:
        raise RunError(f"checkpoint {path} is missing.") from error
    except (safetensors.SafetensorError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"checkpoint {path} is corrupt or truncated ({type(error).__name__}: {error}).") from error


def _pack(node: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, Tensor):
        key = str(len(tensors))
        tensors[key] = node.detach().to("cpu", copy=True).contiguous()
        return {"tensor": key}
    if isinstance(node, dict):
        return {"dict": [[_pack(key, tensors), _pack(value, tensors)] for key, value in node.items()]}
    if isinstance(node, (list, tuple)):
        return {type(node).__name__ if type(node) is list else "tuple": [_pack(item, tensors) for item in node]}
    if isinstance(node, float) and not math.isfinite(node):
        return {"float": repr(node)}  # which JSON does not know
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    raise RunError(f"a checkpoint holds tensors, numbers and text; it cannot hold a {type(node).__name__} ({node!r}).")


def _unpack(node: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "float":
        return float(content)
    if kind == "dict":
        return {_unpack(key, tensors): _unpack(value, tensors) for key, value in content}
    items = [_unpack(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items


def random_states() -> dict[str, Any]:
    """The states of all random generators: torch on each device, numpy, Python."""
    legacy: Any = np.random.get_state()
    name, keys, *rest = legacy
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (
            name,
            torch.from_numpy(keys.astype("int64")),
            *(float(r) if isinstance(r, float) else int(r) for r in rest),
        ),
        "python": random.getstate(),
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Put every generator back where :func:`random_states` found it."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype("uint32"), *rest))
    random.setstate(states["python"])
