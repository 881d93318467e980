"""Networks on the last axes: any leading axes (particles, data, enumerated values) pass through unchanged."""

from pyrovae.nets.causal import MADE, CausalConv, CausalRNN, MaskedConv
from pyrovae.nets.codes import Dictionary, TiedDecoder, TiedEncoder
from pyrovae.nets.convolutional import ConvDecoder, ConvEncoder, GridDecoder, GridEncoder
from pyrovae.nets.counts import Log1p, as_float, float_zeros
from pyrovae.nets.factor_analysis import FactorAnalysis
from pyrovae.nets.gyroplanes import Gyroplanes
from pyrovae.nets.ladder import Ladder, NormalizedMLP
from pyrovae.nets.mlp import ACTIVATIONS, MLP, BranchedMLP, JointMLP, MLPDecoder, MLPEncoder, loc_and_scale
from pyrovae.nets.recurrent import LSTMCell
from pyrovae.nets.rows import RowFeatures
from pyrovae.nets.topics import TopicMixture, TopicProduct

__all__ = [
    "ACTIVATIONS",
    "MADE",
    "MLP",
    "BranchedMLP",
    "CausalConv",
    "CausalRNN",
    "ConvDecoder",
    "ConvEncoder",
    "Dictionary",
    "JointMLP",
    "FactorAnalysis",
    "GridDecoder",
    "GridEncoder",
    "Gyroplanes",
    "LSTMCell",
    "Ladder",
    "Log1p",
    "MLPDecoder",
    "MLPEncoder",
    "MaskedConv",
    "NormalizedMLP",
    "RowFeatures",
    "TiedDecoder",
    "TiedEncoder",
    "TopicMixture",
    "TopicProduct",
    "as_float",
    "float_zeros",
    "loc_and_scale",
]
