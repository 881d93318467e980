"""Arrays of known shapes from files of others' forms: IDX, text of digits, keys of a .npz file."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from pyrovae.data.files import read_npz
from pyrovae.errors import DataError

__all__ = ["read_amat", "read_idx", "read_member", "read_packed"]


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A uint8 array of a known shape from an IDX file, gzipped or not."""
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is no whole gzip file ({error}); download it again.") from error
    start = 4 + 4 * len(shape)
    head = np.frombuffer(raw[:start], dtype=">u4").tolist() if len(raw) >= start else []
    if head != [0x0800 + len(shape), *shape] or len(raw) != start + math.prod(shape):
        raise DataError(
            f"{path} has {len(raw)} bytes and the IDX header {head}; expected uint8 of shape {shape}, "
            f"{start + math.prod(shape)} bytes: download it again."
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape).copy()


def read_packed(path: Path, rows: int) -> np.ndarray:
    """(rows, 784) of 0/1 from the key ``packed`` (rows, 98) of a .npz file."""
    return np.unpackbits(read_member(path, "packed", (rows, 98)), axis=1)


def read_amat(path: Path, rows: int) -> np.ndarray:
    """(rows, 784) of 0/1 from a text of digits and white space."""
    raw = np.frombuffer(path.read_bytes(), np.uint8)
    digits = (raw == ord("0")) | (raw == ord("1"))
    others = raw[~digits]
    if digits.sum() != rows * 784 or not np.isin(others, np.frombuffer(b" \t\r\n", np.uint8)).all():
        raise DataError(
            f"{path} holds {int(digits.sum()):,} digits 0 or 1 and {len(others):,} other characters; "
            f"expected {rows:,} lines "
            "of 784 digits: download it again."
        )
    return raw[digits] - np.uint8(ord("0"))


def read_member(path: Path, key: str, shape: tuple[int, ...]) -> np.ndarray:
    """A uint8 array of a known key and shape from a .npz file."""
    arrays = read_npz(path, map_members=False)
    found = arrays.get(key)
    if found is None or found.shape != shape or found.dtype != np.uint8:
        came = ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in arrays.items()) or "no array"
        raise DataError(f"{path} holds {came}; expected {key} uint8 {shape}: copy the file again.")
    return found
