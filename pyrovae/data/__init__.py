"""Data sets as seeded, resumable batches."""

from __future__ import annotations

from pyrovae.data.conditions import halves, holes, low_resolution, quadrants
from pyrovae.data.corruption import corrupt
from pyrovae.data.dataset import Data
from pyrovae.data.domains import unpaired
from pyrovae.data.factors import Factors
from pyrovae.data.frames import as_frame
from pyrovae.data.grouping import groups, pairs
from pyrovae.data.labelled import LabelledSplit
from pyrovae.data.lengths import like_length
from pyrovae.data.loading import as_data, as_split, load, names
from pyrovae.data.missing_values import missing
from pyrovae.data.motion import affine
from pyrovae.data.named import DATASETS
from pyrovae.data.neighbourhood import neighbours
from pyrovae.data.points import shuffle, subsets, windows
from pyrovae.data.rooms import Rooms
from pyrovae.data.spec import DataSpec, KeySpec
from pyrovae.data.split import Split
from pyrovae.data.sprites import Sprites
from pyrovae.data.stream import Stream
from pyrovae.data.tables import library_size, log1p, standardize
from pyrovae.data.transforms import TRANSFORMS, few_labels, transform
from pyrovae.data.variation import varying
from pyrovae.data.words import as_text

__all__ = [
    "DATASETS",
    "TRANSFORMS",
    "Data",
    "DataSpec",
    "Factors",
    "KeySpec",
    "LabelledSplit",
    "Rooms",
    "Split",
    "Sprites",
    "Stream",
    "affine",
    "as_data",
    "as_frame",
    "as_split",
    "as_text",
    "corrupt",
    "few_labels",
    "groups",
    "halves",
    "holes",
    "library_size",
    "like_length",
    "load",
    "log1p",
    "low_resolution",
    "missing",
    "names",
    "neighbours",
    "pairs",
    "quadrants",
    "shuffle",
    "standardize",
    "subsets",
    "transform",
    "unpaired",
    "varying",
    "windows",
]
