"""Files and folders as raw columns by part: arrays, tables, folders of images, text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from pyrovae.data.columns import Text
from pyrovae.data.files import read_arrays
from pyrovae.errors import DataError

__all__ = ["FORMATS", "read_path"]

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def read_path(path: Path) -> dict[str, Any]:
    """{part: columns by key, or a DataFrame} of a file or folder; the only part is "" where it is not split."""
    if not path.exists():
        raise DataError(
            f"{path} does not exist; expected a file ({', '.join(FORMATS)}) or a folder of images: check the path."
        )
    if path.is_dir():
        return _read_folder(path)
    if path.suffix.lower() not in FORMATS or not path.is_file():
        raise DataError(
            f"{path} is a {path.suffix or 'nameless'} file; expected {', '.join(FORMATS)}, or a folder of images: write "
            "arrays with numpy.savez, tables as .csv."
        )
    return FORMATS[path.suffix.lower()](path)


# ------------------------------------------------------------------------------------------------ tables
def _read_csv(path: Path) -> dict[str, Any]:
    try:
        frame = pandas.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",")
    except (ValueError, OSError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path} is no table with a first row of names ({_first_line(error)}); write it again.") from error
    return {"": _with_rows(frame, path)}


def _read_parquet(path: Path) -> dict[str, Any]:
    try:
        frame = pandas.read_parquet(path)
    except ImportError as error:
        raise DataError(f"{path} needs a library that reads parquet; install one: pip install pyarrow.") from error
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is no whole parquet file ({_first_line(error)}); write it again.") from error
    return {"": _with_rows(frame, path)}


def _read_anndata(path: Path) -> dict[str, Any]:
    try:
        import anndata  # for such files alone
    except ImportError as error:
        raise DataError(f"{path} needs the library that writes such files; install it: pip install anndata.") from error
    try:
        return {"": anndata.read_h5ad(path)}
    except (ValueError, OSError, KeyError) as error:
        raise DataError(f"{path} is no whole .h5ad file ({_first_line(error)}); write it again.") from error


def _with_rows(frame: pandas.DataFrame, path: Path) -> pandas.DataFrame:
    if frame.empty:
        raise DataError(f"{path} holds no rows; expected a first row of names and rows of values below it.")
    return frame


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:120].rstrip(".") or type(error).__name__


# ------------------------------------------------------------------------------------------------ images
def _read_folder(path: Path) -> dict[str, Any]:
    """Images of a folder as bytes, (N, H, W) or (N, C, H, W); folders within it are their classes, or train, valid, test."""
    parts = [part for part in ("train", "valid", "test") if (path / part).is_dir()]
    if "train" in parts:
        return {part: _read_images(path / part) for part in parts}
    return {"": _read_images(path)}


def _read_images(path: Path) -> dict[str, Any]:
    folders = sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
    found = [(each, folder.name) for folder in folders for each in _images_in(folder)] or [(e, None) for e in _images_in(path)]
    if not found:
        raise DataError(f"{path} holds no images ({', '.join(IMAGES)}); expected some, or folders of them by class.")
    images = [_read_image(file) for file, _ in found]
    shapes = {image.shape: file for image, (file, _) in zip(images, found, strict=True)}
    if len(shapes) > 1:
        came = ", ".join(f"{shape} of {file.name}" for shape, file in list(shapes.items())[:3])
        raise DataError(f"{path} holds images of several sizes or modes: {came}; expected one: resize or convert them.")
    x = np.stack(images)
    x = np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x
    return {"x": x} if found[0][1] is None else {"x": x, "y": Text.of([name for _, name in found])}


def _images_in(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.suffix.lower() in IMAGES)


def _read_image(path: Path) -> np.ndarray:
    try:
        from PIL import Image, UnidentifiedImageError  # for folders of images alone
    except ImportError as error:
        raise DataError(f"{path} needs a library that reads images; install one: pip install pillow.") from error
    try:
        with Image.open(path) as image:
            image.load()
            return np.asarray(image.convert("RGB") if image.mode == "P" else image)
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"{path} is no whole image ({_first_line(error)}); copy it again, or take it away.") from error


# ------------------------------------------------------------------------------------------------ text
def _read_text(path: Path) -> dict[str, Any]:
    """Lines of a text, (N,); those without words are left out."""
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8 ({_first_line(error)}); write it in that encoding.") from error
    if not lines:
        raise DataError(f"{path} holds no words; expected one sentence a line.")
    return {"": {"x": Text(np.array(lines, dtype=object))}}


FORMATS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".npz": read_arrays,
    ".npy": read_arrays,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".h5ad": _read_anndata,
    ".txt": _read_text,
}
