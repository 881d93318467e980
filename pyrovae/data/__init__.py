"""Data sets as seeded, resumable batches."""

from __future__ import annotations

from pyrovae.data.dataset import Data
from pyrovae.data.load import as_data, as_split, load, names
from pyrovae.data.named import DATASETS
from pyrovae.data.spec import DataSpec
from pyrovae.data.split import Split
from pyrovae.data.stream import Stream

__all__ = ["DATASETS", "Data", "DataSpec", "Split", "Stream", "as_data", "as_split", "load", "names"]
