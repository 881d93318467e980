"""What recipes are made of: lists of options that build networks, likelihoods, posteriors and priors for the data at hand."""

from pyrovae.parts.adversarial_codes import AdversarialCodes
from pyrovae.parts.bit_groups import BitGroups
from pyrovae.parts.causal import MaskedDecoder, causal_network
from pyrovae.parts.classes import SEMISUPERVISED, AuxiliaryDense, class_decoder
from pyrovae.parts.codes import CodePrior, Codewords
from pyrovae.parts.columns import Columns
from pyrovae.parts.condition import conditional_model
from pyrovae.parts.flow_posterior import FlowPosterior
from pyrovae.parts.networks import Activation, Convolutional, Dense, Grid, Networks
from pyrovae.parts.options import Options, option_docs
from pyrovae.parts.other import OfOther
from pyrovae.parts.posterior import POSTERIORS, Posterior
from pyrovae.parts.pseudo_inputs import PseudoInputOptions
from pyrovae.parts.regularized import regularized_energy
from pyrovae.parts.relaxation import Relaxation

__all__ = [
    "POSTERIORS",
    "SEMISUPERVISED",
    "Activation",
    "AdversarialCodes",
    "AuxiliaryDense",
    "BitGroups",
    "CodePrior",
    "Codewords",
    "Columns",
    "Convolutional",
    "Dense",
    "FlowPosterior",
    "Grid",
    "MaskedDecoder",
    "Networks",
    "OfOther",
    "Options",
    "Posterior",
    "PseudoInputOptions",
    "Relaxation",
    "causal_network",
    "class_decoder",
    "conditional_model",
    "option_docs",
    "regularized_energy",
]
