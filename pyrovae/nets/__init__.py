"""Networks on the last axes: any leading axes (particles, data, enumerated values) pass through unchanged."""

from pyrovae.nets.codes import Dictionary, TiedDecoder, TiedEncoder
from pyrovae.nets.convolutional import ConvDecoder, ConvEncoder
from pyrovae.nets.factor_analysis import FactorAnalysis
from pyrovae.nets.mlp import ACTIVATIONS, MLP, BranchedMLP, JointMLP, MLPDecoder, MLPEncoder, loc_and_scale

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "BranchedMLP",
    "ConvDecoder",
    "ConvEncoder",
    "Dictionary",
    "JointMLP",
    "FactorAnalysis",
    "MLPDecoder",
    "MLPEncoder",
    "TiedDecoder",
    "TiedEncoder",
    "loc_and_scale",
]
