"""Arrays of .npy and .npz files, memory-mapped where the file allows it."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format

from pyrovae.errors import DataError

__all__ = ["read_arrays", "read_npy", "read_npz"]

_PARTS = ("train", "valid", "test")
CHUNK_BYTES = 2**22
_EXPECTED = "expected x and others, or x_train, x_valid, x_test and others of the same parts, or train, valid, test"


def read_arrays(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """{part: {"x": ..., "y": ...}} of a file; the only part is "" where the file is not split."""
    return {"": {"x": read_npy(path)}} if path.suffix == ".npy" else _by_part(path, read_npz(path))


def read_npy(path: Path) -> np.ndarray:
    """The memory-mapped array (N, ...) of a .npy file."""
    try:
        with path.open("rb") as file:
            version = npy_format.read_magic(file)
            if _header(file, version)[2].hasobject:
                raise DataError(
                    f"{path} holds Python objects; expected an array of numbers: save it again with a numeric dtype."
                )
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no whole .npy file ({_short(error)}); write it again with numpy.save.") from error


def read_npz(path: Path, *, map_members: bool = True) -> dict[str, np.ndarray]:
    """All arrays of a .npz file: members stored as they are get memory-mapped, compressed ones are read."""
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as loaded:
            for member in archive.infolist():
                key = member.filename.removesuffix(".npy")
                stored = member.compress_type == zipfile.ZIP_STORED
                if map_members and stored:
                    _check_sum(archive, member)
                arrays[key] = _map_member(path, member) if map_members and stored else loaded[key]
    except (
        ValueError,
        OSError,
        EOFError,
        KeyError,
        SyntaxError,
        struct.error,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path} is no whole .npz file of numbers ({_short(error)}); write it again with numpy.savez."
        ) from error
    return arrays


def _check_sum(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Read a member to its end, where a wrong checksum raises BadZipFile: a memory map would not look at it."""
    with archive.open(member) as file:
        while file.read(CHUNK_BYTES):
            pass


def _map_member(path: Path, member: zipfile.ZipInfo) -> np.ndarray:
    """An uncompressed member of a zip file as a memory map."""
    with path.open("rb") as file:
        # The local header: 30 bytes, its name and its extra field (whose length the directory does not tell).
        file.seek(member.header_offset)
        name, extra = struct.unpack("<26xHH", file.read(30))
        begin = member.header_offset + 30 + name + extra
        file.seek(begin)
        shape, fortran, dtype = _header(file, npy_format.read_magic(file))
        offset = file.tell()
    if dtype.hasobject:
        raise DataError(
            f"{path}, key {member.filename.removesuffix('.npy')!r}, holds Python objects; expected numbers: "
            "save it with a numeric dtype."
        )
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if offset - begin + size != member.file_size:
        raise ValueError(f"{member.filename} has {member.file_size} bytes, its header says {offset - begin + size}")
    if size == 0 or shape == ():
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order="F" if fortran else "C")


def _header(file: object, version: tuple[int, int]) -> tuple[tuple[int, ...], bool, np.dtype]:
    readers = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"its format version is {version}, which holds no plain numbers")
    return readers[version](file)


def _by_part(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Sort the keys of a .npz file into parts: ``train``, ``valid``, ``test``, or names that end in those, or no parts."""
    keys = set(arrays)
    if "train" in keys and keys <= set(_PARTS):
        return {part: {"x": arrays[part]} for part in _PARTS if part in keys}
    ended = {key: key.rpartition("_") for key in keys}
    if keys and all(name and part in _PARTS for name, _, part in ended.values()):
        parts = {p: {n: arrays[key] for key, (n, _, end) in ended.items() if end == p} for p in _PARTS}
        parts = {part: dict(sorted(columns.items())) for part, columns in parts.items() if columns}
        if all(columns.keys() == parts.get("train", {}).keys() for columns in parts.values()):
            return parts
    elif keys and not any(end in _PARTS for _, _, end in ended.values()) and not keys & set(_PARTS):
        return {"": arrays}
    came = ", ".join(sorted(keys)) or "none"
    raise DataError(f"{path} has the keys {came}; {_EXPECTED}: save it again under such keys.")


def _short(error: Exception) -> str:
    """The first line of an error, or its name."""
    return (str(error).splitlines() or [""])[0][:120].rstrip(".") or type(error).__name__
