"""Files of a run: written whole or not at all, and never executed by reading them."""

from __future__ import annotations

import json
import os
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from pyrovae.errors import RunError

__all__ = [
    "load_state",
    "make_folder",
    "random_states",
    "read_json",
    "save_state",
    "set_random_states",
    "write_json",
    "write_whole",
]


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a new run folder; refuses one that holds anything."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise RunError(
                f"run folder {folder} exists and is not empty; choose another `out`, or resume it (pyrovae resume {folder})."
            )
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RunError(f"cannot make run folder {folder}: {error.strerror or error}; choose another `out`.") from error
    return folder


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, or leave the one that stands: through a temporary file in the same folder and a rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        kept = "; the file that stood there is kept" if path.exists() else ""
        raise RunError(f"cannot write {path}: {error.strerror or error}{kept}.") from error


def write_json(path: Path, content: Any) -> None:
    """:func:`write_whole` of indented JSON."""
    write_whole(path, (json.dumps(content, indent=2) + "\n").encode())


def read_json(path: Path) -> Any:
    """The content of a JSON file; RunError when it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing; {path.parent} is no run folder.") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from error


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
        content = path.read_bytes()  # in one go: a run may be writing the next one
        tensors = safetensors.torch.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        return _unpack(json.loads(header["pyrovae"]), tensors)
    except FileNotFoundError as error:
        raise RunError(f"checkpoint {path} is missing.") from error
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
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
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    raise RunError(f"a checkpoint holds tensors, numbers and text; it cannot hold a {type(node).__name__} ({node!r}).")


def _unpack(node: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    if kind == "tensor":
        return tensors[content]
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
