"""Write docs/data.md from what ``pyrovae.data.load`` says of small data of every form: ``make catalogue``."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import scipy.sparse
import torch
from torch.utils.data import DataLoader, TensorDataset

from pyrovae.data import load
from pyrovae.errors import PyrovaeError

PAGE = Path(__file__).parent / "data.md"
ROWS = 12
STEPS = np.arange(ROWS * 6).reshape(ROWS, 6)

VALUES: dict[str, Any] = {
    "bool, or integers or floats of 0 and 1": STEPS % 2,
    "uint8, (N, 8, 8)": np.arange(ROWS * 64, dtype=np.uint8).reshape(ROWS, 8, 8),
    "uint8, (N, 8, 8, 3)": np.arange(ROWS * 192, dtype=np.uint8).reshape(ROWS, 8, 8, 3),
    "uint8, (N, 64)": np.arange(ROWS * 64, dtype=np.uint8).reshape(ROWS, 64),
    "uint8, (N, 6)": STEPS.astype(np.uint8),
    "other integers from 0 up": STEPS,
    "integers, some below 0": STEPS - 5,
    "integers beyond 2^24": STEPS + 2**24,
    "floats from 0 to 1": STEPS / 71,
    "whole floats from 0 up": STEPS.astype(float),
    "other floats": STEPS / 7 - 2,
    "floats that float32 cannot tell apart": STEPS / 7 + 1e9,
    "floats with NaN": np.where(STEPS == 3, np.nan, STEPS / 7),
    "a masked array": np.ma.masked_array(STEPS / 7, STEPS == 3),
    "columns of several kinds (a DataFrame)": pandas.DataFrame({"a": STEPS[:, 0] / 7, "b": STEPS[:, 1], "c": ["s", "t"] * 6}),
}
LABELS: dict[str, Any] = {
    "integers 0..2": np.arange(ROWS) % 3,
    "integers 1..3, or with gaps": np.arange(ROWS) % 3 + 1,
    "with -1 for an unknown label": np.arange(ROWS) % 3 - 1,
    "strings": np.array(["ape", "bee", "cat"])[np.arange(ROWS) % 3],
    "(N, 1)": np.arange(ROWS)[:, None] % 3,
    "one-hot": np.eye(3)[np.arange(ROWS) % 3],
    "floats (an outcome, no class)": np.arange(ROWS) / 7,
}
KINDS: dict[str, np.ndarray] = {
    "binary": STEPS % 2,
    "levels": STEPS.astype(np.uint8).reshape(ROWS, 2, 3),
    "unit": STEPS / 71,
    "real": STEPS / 7 - 2,
    "count": STEPS,
    "names": np.array(["ape", "bee", "cat"])[np.arange(ROWS) % 3],
}


def said(call: Callable[[], Any]) -> tuple[str, str, str]:
    """What a load makes of the data, what it says of why, and what it warns of or refuses."""
    records: list[logging.LogRecord] = []
    log, handler = logging.getLogger("pyrovae"), logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    level, passes = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        data = call()
    except PyrovaeError as error:
        return "refused", "", str(error)
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = passes
    key = data.spec.keys.get("y", data.spec.keys["x"])
    size = f" of {key.size}" if key.size else ""
    line = " ".join(record.getMessage() for record in records if record.levelno == logging.INFO)
    why = line.rpartition(f"{'y' if 'y' in data.spec.keys else 'x'} (")[2].partition("(")[2].removesuffix(").")
    warned = " ".join(record.getMessage().partition(": ")[2] for record in records if record.levelno == logging.WARNING)
    return f"{key.kind}{size}, {key.shape} {key.dtype}", why, warned


def containers(folder: Path, x: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Loads of the same values in every container that can hold them."""
    flat, names = x.reshape(ROWS, -1), x.dtype.kind == "U"
    frame = pandas.DataFrame(flat, columns=[f"c{n}" for n in range(flat.shape[1])])
    key, columns = ("y", {"y": "c0"}) if names else ("x", {"x": list(frame.columns)})
    wrapped = {key: x} if key == "x" else {"x": STEPS, key: x}
    found: dict[str, Callable[[], Any]] = {"dict of arrays": lambda: load(wrapped)}

    def in_file(name: str, write: Callable[[Path], Any], **options: Any) -> Callable[[], Any]:
        write(folder / name)
        return lambda: load(folder / name, **options)

    found[".npz"] = in_file("a.npz", lambda path: np.savez(path, **wrapped))
    if names:
        table = frame.assign(**{f"x{n}": STEPS[:, n] for n in range(2)})
        columns = {"x": ["x0", "x1"], **columns}
    else:
        table = frame
        found["array"] = lambda: load(x)
        found["tensor"] = lambda: load(torch.from_numpy(x))
        found[".npy"] = in_file("a.npy", lambda path: np.save(path, x))
        found["torch Dataset"] = lambda: load(TensorDataset(torch.from_numpy(x)))
        found["DataLoader"] = lambda: load(DataLoader(TensorDataset(torch.from_numpy(x)), batch_size=4))
    if not names and x.ndim == 2:
        found["SciPy sparse matrix"] = lambda: load(scipy.sparse.csr_matrix(x))
        found["torch sparse tensor"] = lambda: load(torch.from_numpy(x).to_sparse())
    if names or x.ndim == 2:
        found["DataFrame"] = lambda: load(table, columns=columns)
        found[".csv"] = in_file("a.csv", lambda path: table.to_csv(path, index=False), columns=columns)
        cells = SimpleNamespace(X=STEPS if names else x, obs=pandas.DataFrame({"c0": flat[:, 0]}), var=None)
        found["AnnData"] = lambda: load(cells, columns={"y": "c0"} if names else None)
    return found


def table(head: list[str], lines: list[list[str]]) -> str:
    """A table in Markdown."""
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |\n" for row in rows)


def page() -> str:
    """The page."""
    values = [[f"{name}", *said(lambda x=x: load(x))] for name, x in VALUES.items()]  # type: ignore[misc]
    labels = [[name, *said(lambda y=y: load({"x": STEPS / 7, "y": y}))] for name, y in LABELS.items()]  # type: ignore[misc]
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, x in KINDS.items():
            for name, call in containers(Path(folder), x).items():
                found.setdefault(name, {})[kind] = said(call)[0].partition(",")[0]
    order = sorted(found, key=lambda name: (name.startswith("."), name.lower()))
    cells = [[name, *(found[name].get(kind, "") for kind in KINDS)] for name in order]
    return (
        PROSE.format(values=table(["x", "taken for", "because", "warned of, or refused"], values))
        + LATER.format(labels=table(["y", "taken for", "because", "warned of, or refused"], labels))
        + CONTAINERS.format(cells=table(["container", *KINDS], cells))
    )


PROSE = """# Data

`pyrovae.data.load` takes anything; written by `make catalogue` from what it says of small data of each form. What each key is
taken for and why is one line of the log `pyrovae` (level INFO; the command line shows it), what changes or drops values is
warned of, and `kinds={{"x": "count"}}` (`--kinds x=count`) decides otherwise. A run keeps the description, and whatever it
meets later is read by it: integers are divided as the training data were, names of classes keep their numbers.

## What x is taken for

{values}
With `missing="mask"` values that are NaN or masked are left out: x is 0 there, `mask` is 1 where a value was seen, and recipes
build pairs of the observed part of x.

"""
LATER = """## What y is taken for

{labels}
"""
CONTAINERS = """## Containers

What the same values are taken for in each container; an empty cell is one that cannot hold them. Beside these: a folder of
images (folders within it are their classes), .txt (a sentence a line, `tokens`), .parquet, .h5ad, a Hugging Face
Dataset, a tuple (train, valid, test) or a dict {{"train": ...}} of any. A .csv has no uint8.

{cells}"""

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
