"""Networks on the last axes: any leading axes (particles, data, enumerated values) pass through unchanged."""

from pyrovae.nets.attention import Window, filterbank
from pyrovae.nets.causal import MADE, CausalConv, CausalRNN, ContextRNN, MaskedConv
from pyrovae.nets.codes import Dictionary, TiedDecoder, TiedEncoder
from pyrovae.nets.convolutional import ConvDecoder, ConvEncoder, GridDecoder, GridEncoder
from pyrovae.nets.counts import Log1p, as_float, float_zeros
from pyrovae.nets.dilated import DilatedDecoder
from pyrovae.nets.discriminator import Classifier, Discriminator
from pyrovae.nets.factor_analysis import FactorAnalysis
from pyrovae.nets.grids import GridAbove, GridJoin, GridUp, GuidedMaskedConv, TwoGridDecoder
from pyrovae.nets.gyroplanes import Gyroplanes
from pyrovae.nets.heads import HeadDecoder
from pyrovae.nets.hybrid import Deconvolution, HybridDecoder
from pyrovae.nets.ladder import Ladder, NormalizedMLP
from pyrovae.nets.local import LocalMap
from pyrovae.nets.mlp import ACTIVATIONS, MIN_SCALE, MLP, BranchedMLP, JointMLP, MLPDecoder, MLPEncoder, loc_and_scale
from pyrovae.nets.recurrent import GatedTransition, LSTMCell, Recurrent
from pyrovae.nets.rows import RowFeatures
from pyrovae.nets.sets import SetEncoder, items_there, of_items, pooled
from pyrovae.nets.spectral import SpectralDecoder, SpectralLinear, spectral_norm
from pyrovae.nets.topics import TopicMixture, TopicProduct
from pyrovae.nets.varied import codes_that_vary
from pyrovae.nets.warp import AffineVelocity, affine_flow, affine_matrix, folds, total_variation, warp
from pyrovae.nets.words import (
    AttentionDecoder,
    PointerNetwork,
    SentenceEncoder,
    SentenceFeatures,
    TextDecoder,
    WordDecoder,
)

__all__ = [
    "ACTIVATIONS",
    "AffineVelocity",
    "AttentionDecoder",
    "MADE",
    "MIN_SCALE",
    "MLP",
    "BranchedMLP",
    "CausalConv",
    "CausalRNN",
    "ContextRNN",
    "Classifier",
    "ConvDecoder",
    "ConvEncoder",
    "Deconvolution",
    "Dictionary",
    "DilatedDecoder",
    "Discriminator",
    "JointMLP",
    "FactorAnalysis",
    "GatedTransition",
    "GridAbove",
    "GridDecoder",
    "GridEncoder",
    "GridJoin",
    "GridUp",
    "GuidedMaskedConv",
    "Gyroplanes",
    "HeadDecoder",
    "HybridDecoder",
    "LSTMCell",
    "Ladder",
    "LocalMap",
    "Log1p",
    "MLPDecoder",
    "MLPEncoder",
    "MaskedConv",
    "NormalizedMLP",
    "PointerNetwork",
    "Recurrent",
    "RowFeatures",
    "SentenceEncoder",
    "SentenceFeatures",
    "TextDecoder",
    "SetEncoder",
    "Window",
    "SpectralDecoder",
    "SpectralLinear",
    "TiedDecoder",
    "TiedEncoder",
    "WordDecoder",
    "TopicMixture",
    "TopicProduct",
    "affine_flow",
    "affine_matrix",
    "TwoGridDecoder",
    "as_float",
    "codes_that_vary",
    "filterbank",
    "float_zeros",
    "folds",
    "items_there",
    "loc_and_scale",
    "of_items",
    "pooled",
    "spectral_norm",
    "total_variation",
    "warp",
]
