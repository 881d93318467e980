"""What a recipe asks of the data beside x of a kind that it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyrovae.data import DataSpec
from pyrovae.data.spec import factor_sizes

__all__ = [
    "ANSWERS",
    "COMPRESSIONS",
    "CONDITION",
    "CORRUPTION",
    "FACTORS",
    "GROUPS",
    "IMAGES",
    "LABELS",
    "NEIGHBOURS",
    "OTHER",
    "PAIRS",
    "PLACES",
    "ROWS",
    "SIZE",
    "SOURCE",
    "STEPS",
    "UTTERANCES",
    "VARYING",
    "Need",
]


@dataclass(frozen=True)
class Need:
    """A property of data.

    Attributes:
        about: in two or three words, for tables.
        met: whether data have it.
        refusal: the sentence for data that do not, with ``{name}`` and ``{shape}`` of the data.
    """

    about: str
    met: Callable[[DataSpec], bool]
    refusal: str


LABELS = Need(
    "labels y",
    lambda spec: bool(spec.classes),
    "{name} has no labels y, and this pair has a class: use data with y (-1 where it is unknown).",
)
CONDITION = Need(
    "a condition c",
    lambda spec: {"c", "given"} <= spec.covariates.keys(),
    "{name} has no condition: a conditional pair needs c and given in the batch; transform the data, as in "
    "transforms=['quadrants:given=1'], or 'holes', or 'low-resolution'.",
)
CORRUPTION = Need(
    "x_corrupted",
    lambda spec: "x_corrupted" in spec.covariates,
    "{name} has no corrupted x: transform the data, as in transforms=['corrupt:process=masking,rate=0.25'], or "
    "process=gaussian, or process=salt-and-pepper.",
)
ROWS = Need(
    "rows of columns",
    lambda spec: len(spec.shape) == 1 and (spec.kind != "table" or bool(spec.keys["x"].columns)),
    "{name} has no rows of columns: a pair of tables needs a DataFrame, or an array (D,) of one kind; its shape is {shape}.",
)
SIZE = Need(
    "a size",
    lambda spec: "size" in spec.covariates,
    "{name} has no size: a pair of counts given their size needs the key size in the batch; transform the data, as in "
    "transforms=['library-size'], or use pair scvi, whose size is latent.",
)
IMAGES = Need(
    "images",
    lambda spec: len(spec.shape) in (2, 3),
    "convolutional networks need images, (H, W) or (C, H, W); the shape of {name} is {shape}.",
)
PLACES = Need(
    "images",
    lambda spec: len(spec.shape) in (2, 3),
    "a warp needs images, (H, W) or (C, H, W); the shape of {name} is {shape}.",
)
GROUPS = Need(
    "groups of data",
    lambda spec: len(spec.shape) >= 2,
    "{name} has no groups: x of a group is (n, *shape), and here {shape}; transform the data, as in "
    "transforms=['groups:size=2'].",
)
PAIRS = Need(
    "pairs of data",
    lambda spec: len(spec.shape) >= 2 and spec.shape[0] == 2,
    "{name} has no pairs: x of a pair is (2, *shape), and here {shape}; transform the data, as in transforms=['pairs'].",
)
SOURCE = Need(
    "a source",
    lambda spec: "source" in spec.keys and spec.keys["source"].shape == spec.shape and len(spec.shape) in (2, 3),
    "{name} has no source, an image of x's shape {shape} that is given: take data frey-pairs or faces, or transform images, "
    "as in transforms=['affine:source=true'].",
)
VARYING = Need(
    "groups that vary",
    lambda spec: "varied" in spec.keys and len(spec.shape) in (3, 4),
    "{name} has no groups of images that vary in one factor: x is (n, *shape), and here {shape}, with a key varied; transform "
    "the data, as in transforms=['varying:size=4'].",
)
OTHER = Need(
    "a second domain",
    lambda spec: "other" in spec.keys and len(spec.shape) in (2, 3) and len(spec.keys["other"].shape) in (2, 3),
    "{name} has no images of a second domain beside x, whose shape is {shape}: transform the data, as in "
    "transforms=['unpaired:change=invert'], or 'unpaired:of=digits'.",
)
STEPS = Need(
    "steps",
    lambda spec: len(spec.shape) >= 2,
    "{name} has no steps: a pair of sequences needs x of shape (T, D), T steps of D numbers; its shape is {shape}.",
)
UTTERANCES = Need(
    "utterances",
    lambda spec: len(spec.shape) == 2,
    "{name} has no utterances: a pair of dialogues needs x of shape (n, T), n utterances of T words, as data "
    "grammar-dialogues have; its shape is {shape}.",
)
ANSWERS = Need(
    "questions and answers",
    lambda spec: {"question", "answer"} <= spec.keys.keys(),
    "{name} has no questions and answers beside x, which says whether an answer is relevant: take data grammar-answers, or "
    "give the keys question and answer.",
)
COMPRESSIONS = Need(
    "compressions c",
    lambda spec: "c" in spec.keys and len(spec.keys["c"].shape) == 1,
    "{name} has no compressions c, sentences as x is, all -1 where one is not known: take data grammar-sentences, or pair "
    "asc.",
)
NEIGHBOURS = Need(
    "neighbours",
    lambda spec: {"neighbours", "row"} <= spec.keys.keys(),
    "{name} has no neighbours: this pair's prior is made of the training data nearest to each datum; transform the data, as "
    "in transforms=['neighbours:num=10'].",
)
FACTORS = Need(
    "labels of factors",
    lambda spec: bool(factor_sizes(spec)),
    "{name} has no factors: this pair needs keys of one class or ordered class a datum; say kinds={{'scale': 'ordinal:6'}}.",
)
