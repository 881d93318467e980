"""The named data sets: digits, faces, music, newsgroups, sentences, sprites and rooms by rule, sets, functions and tables."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from pyrovae.data.balls import read_balls
from pyrovae.data.faces import Faces
from pyrovae.data.families import read_families, spatial_digits
from pyrovae.data.foreign import read_amat, read_idx, read_member, read_packed
from pyrovae.data.functions import read_functions
from pyrovae.data.grammars import GRAMMARS
from pyrovae.data.naming import Named, Parts, Root, drawn
from pyrovae.data.newsgroups import news_words, read_news
from pyrovae.data.omniglot import read_omniglot
from pyrovae.data.polyphonic import read_jsb, read_music
from pyrovae.data.remote import find
from pyrovae.data.rooms import Rooms
from pyrovae.data.sentences import SENTENCES
from pyrovae.data.sprite_table import read_sprite_table
from pyrovae.data.sprites import SPRITES
from pyrovae.errors import DataError
from pyrovae.registry import Registry

__all__ = ["DATASETS", "NAMED", "Named"]

MNIST_ROWS = {"train": 60_000, "t10k": 10_000}
MNIST_VALID_ROWS = 10_000
BINARY_ROWS = {"train": 50_000, "valid": 10_000, "test": 10_000}
FREY_ROWS = 1_965
FREY_CUTS = (0.8, 0.9)  # of the video, where valid and test begin, of neighbours in it
FREY_GAP = 5
# No checksum of frey_rawface.mat is published by its author: sha256 of its images as bytes (1965, 28, 20),
# in order.
FREY_CONTENT = "2438ba4f0d2a6bd8bac43de756141eaa33c8d248dd613d464bdb1210d9b7af78"


def read_digits(root: Root = None) -> Parts:
    """1,797 handwritten digits of 8x8 pixels, grey levels 0..16, from scikit-learn."""
    from sklearn.datasets import load_digits  # a second to import, needed for this set only

    digits = load_digits()
    return {"": {"x": digits.images.astype(np.uint8), "y": digits.target.astype(np.int64)}}


def read_mnist(root: Root) -> Parts:
    """MNIST's four IDX files; the last 10,000 training images are valid."""
    x, y, x_test, y_test = (
        read_idx(find("MNIST/raw", (f"{file}.gz", file), root), (MNIST_ROWS[part], *shape))
        for part in ("train", "t10k")
        for file, shape in ((f"{part}-images-idx3-ubyte", (28, 28)), (f"{part}-labels-idx1-ubyte", ()))
    )
    cut = len(x) - MNIST_VALID_ROWS
    return {
        "train": {"x": x[:cut], "y": y[:cut]},
        "valid": {"x": x[cut:], "y": y[cut:]},
        "test": {"x": x_test, "y": y_test},
    }


def read_mnist_whole(root: Root) -> Parts:
    """MNIST with all of its 60,000 training images in train, and no valid."""
    parts = read_mnist(root)
    train = {key: np.concatenate([parts["train"][key], parts["valid"][key]]) for key in ("x", "y")}
    return {"train": train, "test": parts["test"]}


def read_spatial_mnist(root: Root) -> Parts:
    """The digits of MNIST as sets of 50 points each."""
    parts = enumerate(read_mnist(root).items())
    return {part: {"x": spatial_digits(columns["x"], seed=seed), "y": columns["y"]} for seed, (part, columns) in parts}


def read_binary_mnist(root: Root) -> Parts:
    """Larochelle and Murray's fixed binarization of MNIST, without labels."""
    parts = {}
    for part, rows in BINARY_ROWS.items():
        name = f"binarized_mnist_{part}"
        path = find("BinaryMNIST", (f"{name}.npz", f"{name}.amat"), root)
        x = read_packed(path, rows) if path.suffix == ".npz" else read_amat(path, rows)
        parts[part] = {"x": x.reshape(rows, 28, 28)}
    return parts


def read_frey_faces(root: Root) -> Parts:
    """1,965 frames of 28x20 pixels of a video of Brendan Frey's face."""
    path = find("FreyFaces", ("frey_faces.npz", "frey_rawface.mat"), root, verify_frey)
    if path.suffix == ".mat":
        return {"": {"x": read_frey_mat(path)}}
    return {"": {"x": read_member(path, "images", (FREY_ROWS, 28, 20))}}


def read_frey_pairs(root: Root) -> Parts:
    """Frames x of the video, each with one at most five frames before or after it, ``source``; three parts of the video."""
    frames = read_frey_faces(root)[""]["x"]
    parts, cuts = {}, [0, *(int(cut * len(frames)) for cut in FREY_CUTS), len(frames)]
    for part, first, last in zip(("train", "valid", "test"), cuts, cuts[1:], strict=False):
        t = np.arange(first, last)
        gap = 1 + (t * 7 + t // 5) % FREY_GAP  # each as often, in no order that frames have
        before = np.where(t % 2 == 0, t - gap, t + gap)
        source = np.where((before < first) | (before >= last), 2 * t - before, before)
        parts[part] = {"x": frames[t], "source": frames[np.clip(source, first, last - 1)]}
    return parts


def read_frey_mat(path: Path) -> np.ndarray:
    """(1965, 28, 20) uint8 from the matrix ``ff`` (560, 1965) of a MATLAB file."""
    from scipy.io import loadmat  # needed for this file only

    try:
        # Given as a stream: during a download the file has no .mat ending yet, which loadmat would append.
        with path.open("rb") as file:
            faces = loadmat(file)["ff"]
    except Exception as error:  # scipy meets broken files with errors of many types
        raise DataError(
            f"{path} is no whole MATLAB file with the matrix ff ({type(error).__name__}); download it again."
        ) from error
    if faces.shape != (560, FREY_ROWS) or faces.dtype != np.uint8:
        raise DataError(
            f"{path} holds ff of shape {faces.shape} and dtype {faces.dtype}; expected {(560, FREY_ROWS)} "
            "of uint8: "
            "download it again."
        )
    return np.ascontiguousarray(faces.T).reshape(-1, 28, 20)


def verify_frey(path: Path) -> None:
    """Refuse a download whose images are not Frey's."""
    found = hashlib.sha256(read_frey_mat(path).tobytes()).hexdigest()
    if found != FREY_CONTENT:
        raise DataError(f"{path} holds images of sha256 {found}; expected {FREY_CONTENT}: download it again.")


NAMED: Registry[Named] = Registry(
    "data set",
    {
        "digits": Named(
            "scikit-learn's 1,797 handwritten digits, 8x8, 17 grey levels, labels",
            read_digits,
            17,
            ("dynamic", "fixed", "threshold", "none"),
            (250, 250),
        ),
        "mnist": Named(
            "70,000 handwritten digits, 28x28, 256 grey levels, labels",
            read_mnist,
            256,
            ("dynamic", "fixed", "threshold", "none"),
        ),
        "mnist-60k": Named(
            "mnist with all 60,000 training images to train on, and none to validate by",
            read_mnist_whole,
            256,
            ("dynamic", "fixed", "threshold", "none"),
        ),
        "binary-mnist": Named(
            "MNIST as binarized once by Larochelle and Murray, 28x28, no labels",
            read_binary_mnist,
            None,
            ("fixed",),
        ),
        "frey-faces": Named(
            "1,965 video frames of a face, 28x20, 256 grey levels, no labels",
            read_frey_faces,
            256,
            ("none", "dynamic", "fixed", "threshold"),
            (200, 200),
        ),
        "frey-pairs": Named(
            "frey-faces with a neighbour in the video, at most 5 frames away, as source; valid and test are its end",
            read_frey_pairs,
            256,
            ("none",),
            kinds={"source": "levels:256"},
        ),
        "faces": replace(
            drawn(
                "5,760 drawn faces, 32x32, that smile and blink by warps known exactly, each with the neutral one as source",
                Faces(),
                levels=256,
                held=576,
            ),
            kinds={**Faces().kinds(), "source": "levels:256"},
        ),
        "jsb": Named(
            "382 chorales by Bach as steps of 88 keys, (160, 88), with their lengths",
            read_jsb,
            None,
            ("none",),
        ),
        "20news": Named(
            "18,745 posts to 20 newsgroups as counts of 1,995 words, split by date, valid the last tenth of train",
            read_news,
            None,
            ("none",),
            words=news_words,
        ),
        **{name: Named(**each) for name, each in {**GRAMMARS, **SENTENCES}.items()},
        "nottingham": Named(
            "1,037 British and American folk tunes as steps of 88 keys, (1793, 88), with their lengths",
            read_music("nottingham"),
            None,
            ("none",),
        ),
        "piano-midi": Named(
            "124 pieces of classical piano music as steps of 88 keys, (3857, 88), with their lengths",
            read_music("piano-midi"),
            None,
            ("none",),
        ),
        "muse-data": Named(
            "783 pieces of orchestral and piano music as steps of 88 keys, (4273, 88), with their lengths",
            read_music("muse-data"),
            None,
            ("none",),
        ),
        "bouncing-ball": Named(
            "2,500 films of a ball that moves straight on and bounces off the walls, (20, 16, 16), drawn by rule",
            read_balls,
            None,
            ("none",),
        ),
        "set-families": Named(
            "10,000 sets of 200 numbers from four families of distributions, the family as label, drawn by rule",
            read_families,
            None,
            ("none",),
            sets=("x",),
        ),
        "spatial-mnist": Named(
            "70,000 digits of MNIST as sets of 50 points, (50, 2), labels", read_spatial_mnist, None, ("none",), sets=("x",)
        ),
        "gp-functions": Named(
            "10,000 draws of a Gaussian process at 64 inputs each, (64, 1), the inputs as condition, drawn by rule",
            read_functions,
            None,
            ("none",),
            sets=("x", "condition"),
        ),
        "sprite-table": Named(
            "40,000 pictures of 200 styles (row) at 200 times (column), 16x16, 30% of them missing, to test; drawn by rule",
            read_sprite_table,
            256,
            ("none",),
            kinds={"row": "category:200", "column": "category:200"},
        ),
        "omniglot-small": Named(
            "4,840 characters of Omniglot's two small background sets, 28x28, labels, split by alphabet",
            read_omniglot,
            None,
            ("none",),
            kinds={"alphabet": "category:8"},
        ),
        "dsprites": drawn(
            "737,280 white sprites, 64x64 binary, of 5 factors, each drawn when a batch is made of it",
            SPRITES["dsprites"],
            held=10_000,
        ),
        "dsprites-packed": drawn(
            "dsprites, all drawn at once (a minute) and kept in memory (377 MB)", SPRITES["dsprites"], packed=True, held=10_000
        ),
        "s32": drawn("92,160 white sprites, 32x32 binary, of 5 factors", SPRITES["s32"], packed=True),
        "xys": drawn("1,536 white ellipses, 32x32 binary, of 3 factors: scale, posX, posY", SPRITES["xys"], packed=True),
        "xys-uneven": drawn("xys, moving over 16 columns and 6 rows", SPRITES["xys-uneven"], packed=True),
        "rooms": drawn(
            "480,000 coloured rooms, 3x64x64, of the 6 factors of Shapes3D, each drawn when a batch is made of it",
            Rooms(),
            levels=256,
            held=10_000,
        ),
    },
)

DATASETS: dict[str, str] = {name: f"{each.about} (binarization: {each.binarization})" for name, each in NAMED.items()}
