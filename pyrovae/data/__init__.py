"""Data sets as seeded, resumable batches."""

from __future__ import annotations

from pyrovae.data.conditions import halves, holes, low_resolution, quadrants
from pyrovae.data.corruption import corrupt
from pyrovae.data.dataset import Data
from pyrovae.data.domains import unpaired
from pyrovae.data.factors import Factors
from pyrovae.data.families import set_families, spatial_digits
from pyrovae.data.frames import as_frame
from pyrovae.data.functions import context, gp_functions, pixels
from pyrovae.data.grouping import groups, pairs
from pyrovae.data.labelled import LabelledSplit
from pyrovae.data.lengths import like_length
from pyrovae.data.loading import as_data, as_split, load, names
from pyrovae.data.missing_values import missing
from pyrovae.data.motion import affine
from pyrovae.data.named import DATASETS
from pyrovae.data.neighbourhood import neighbours, row_numbers
from pyrovae.data.points import ragged, shuffle, subsets, windows
from pyrovae.data.rooms import Rooms
from pyrovae.data.spec import DataSpec, KeySpec
from pyrovae.data.split import Split
from pyrovae.data.sprite_table import sprite_factors, sprite_pictures
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
    "context",
    "corrupt",
    "few_labels",
    "gp_functions",
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
    "pixels",
    "quadrants",
    "ragged",
    "row_numbers",
    "set_families",
    "shuffle",
    "spatial_digits",
    "sprite_factors",
    "sprite_pictures",
    "standardize",
    "subsets",
    "transform",
    "unpaired",
    "varying",
    "windows",
]
