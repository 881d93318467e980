"""The file of an estimate that is under way: the batches that are done, and how far the chains of the next have come."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from torch import Tensor

from pyrovae.core.pair import Pair
from pyrovae.core.parameters import buffers, parameters
from pyrovae.data.split import hash_columns
from pyrovae.errors import RunError
from pyrovae.files import clear_temporary, load_state, save_state

__all__ = ["fingerprint", "resume_run", "save_run"]


def save_run(path: Path, state: dict[str, Any], run: dict[str, Any] | None) -> None:
    """Write the batches that are done, and how far the chains of the one in hand have come."""
    save_state(path, {**state, "run": run})


def fingerprint(pair: Pair, split: Any) -> str:
    """sha256 (hex) of the pair's parameters and buffers and of the data."""
    digest = hashlib.sha256(split.fingerprint().encode())
    hash_columns(digest, {**parameters(pair.model, pair.guide), **buffers(pair.model, pair.guide)}, len(split))
    return digest.hexdigest()


def resume_run(path: Path, identity: dict[str, Any]) -> tuple[list[dict[str, Tensor]], dict[str, Any] | None, dict[str, str]]:
    """A checkpoint's batches, the chains of an unfinished one, and libraries; RunError when it is of something else."""
    if not path.exists():
        save_state(
            path, {"identity": identity, "parts": [], "run": None, "products": {}}
        )  # a folder that is not there is known at once
        return [], None, {}
    clear_temporary(path.parent, path.name)
    state = load_state(path)
    if not isinstance(state, dict) or not {"identity", "parts", "run", "products"} <= state.keys():
        raise RunError(f"{path} is no checkpoint of an estimate; give another path.")
    for name, value in identity.items():
        if state["identity"].get(name) != value:
            what = "another pair or other data" if name == "of" else f"{name}={state['identity'].get(name)!r}, not {value!r}"
            raise RunError(f"checkpoint {path} is of {what}; give another path, or the same arguments to continue it.")
    return state["parts"], state["run"], state["products"]
