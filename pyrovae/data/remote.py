"""Files of the named sets: under a root folder, in the user's cache, or downloaded into it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyrovae.errors import DataError

__all__ = ["ADDRESSES", "Address", "find"]


@dataclass(frozen=True)
class Address:
    """Where a file is published; ``checksum`` is "md5:..." or "sha256:...", None where none was published."""

    url: str
    checksum: str | None


_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_BINARY = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"

# The sha256 of the .amat files are those of TensorFlow Datasets (url_checksums/binarized_mnist.txt).
ADDRESSES: dict[str, Address] = {
    "train-images-idx3-ubyte.gz": Address(_MNIST + "train-images-idx3-ubyte.gz", "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "train-labels-idx1-ubyte.gz": Address(_MNIST + "train-labels-idx1-ubyte.gz", "md5:d53e105ee54ea40749a09fcbcd1e9432"),
    "t10k-images-idx3-ubyte.gz": Address(_MNIST + "t10k-images-idx3-ubyte.gz", "md5:9fb629c4189551a2d022fa330f9573f3"),
    "t10k-labels-idx1-ubyte.gz": Address(_MNIST + "t10k-labels-idx1-ubyte.gz", "md5:ec29112dd5afa0611ce80d1b7f02629c"),
    "binarized_mnist_train.amat": Address(
        _BINARY + "binarized_mnist_train.amat",
        "sha256:ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    ),
    "binarized_mnist_valid.amat": Address(
        _BINARY + "binarized_mnist_valid.amat",
        "sha256:1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    ),
    "binarized_mnist_test.amat": Address(
        _BINARY + "binarized_mnist_test.amat",
        "sha256:e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
    ),
    "frey_rawface.mat": Address("https://cs.nyu.edu/~roweis/data/frey_rawface.mat", None),
}


def find(folder: str, names: tuple[str, ...], root: str | Path | None, verify: Callable[[Path], None] | None = None) -> Path:
    """The first of ``names`` that lies in ``folder`` of the root (or PYROVAE_DATA) or of the cache; else a
    download.

    ``names`` are the forms that one file comes in; one of them is in :data:`ADDRESSES`. ``verify`` looks at
    the content of a download, before it gets its name, where no checksum was published.
    """
    import pooch  # here, for a quick start of programs that load no named set

    if root is not None and not Path(root).expanduser().is_dir():
        raise DataError(f"root is {os.fspath(root)!r}, which is no folder; give the one that holds {folder}.")
    cache = Path(pooch.os_cache("pyrovae"))
    roots = [Path(each).expanduser() for each in (root or os.environ.get("PYROVAE_DATA"), cache) if each]
    for base in roots:
        for name in names:
            if (base / folder / name).is_file():
                return base / folder / name
    name = next((name for name in names if name in ADDRESSES), None)
    if name is None:
        raise DataError(
            f"{names[0]} is not on this machine and is published in no form that is read here; set PYROVAE_DATA or root to a "
            f"folder that holds {folder}/{names[0]}."
        )
    return _download(name, cache / folder, f"{folder}/{' or '.join(names)}", verify)


def _download(name: str, target: Path, layout: str, verify: Callable[[Path], None] | None) -> Path:
    import pooch

    address = ADDRESSES[name]
    transfer = pooch.HTTPDownloader(progressbar=True, chunk_size=2**16)

    def download(url: str, output: str, keeper: Any) -> None:
        transfer(url, output, keeper)
        if verify is not None:
            verify(Path(output))

    # pooch moves the file to its name only after the checks, so a broken download leaves nothing behind.
    try:
        return Path(pooch.retrieve(address.url, address.checksum, name, target, downloader=download))
    except (OSError, ValueError) as error:
        # Network errors are OSErrors; a wrong checksum or content is a ValueError.
        reason = "its content is not what was published" if isinstance(error, ValueError) else _reason(error)
        raise DataError(
            f"{name} could not be downloaded from {address.url} ({reason}) and is not on this machine; set "
            "PYROVAE_DATA "
            f"or root to a folder that holds {layout}."
        ) from error


def _reason(error: OSError) -> str:
    response = getattr(error, "response", None)
    return f"HTTP status {response.status_code}" if response is not None else type(error).__name__
