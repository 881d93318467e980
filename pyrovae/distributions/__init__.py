"""Distributions that Pyro lacks, likelihoods of a decoder's output, learned priors, and normalizing flows."""

from pyrovae.distributions import flows, gaussian_kl, likelihoods
from pyrovae.distributions.autoregressive import (
    AutoregressiveBernoulli,
    AutoregressiveCategorical,
    AutoregressiveGaussian,
)
from pyrovae.distributions.code_mixture import CodeMixture, NeighbourPrior
from pyrovae.distributions.codebook import Codebook, CodebookPrior, Quantized
from pyrovae.distributions.colours import ColourMixture
from pyrovae.distributions.columns import Columns
from pyrovae.distributions.continuous import Beta, Gamma, LogNormal, StudentT
from pyrovae.distributions.counts import BagOfWords, Multinomial, NegativeBinomial, Poisson
from pyrovae.distributions.density import is_density, is_point, mask_distribution
from pyrovae.distributions.energies import Flat, GreyBernoulli
from pyrovae.distributions.exemplars import ExemplarPrior, Exemplars
from pyrovae.distributions.flows import Flow, FlowDistribution
from pyrovae.distributions.gaussian_mixture import GaussianMixture
from pyrovae.distributions.hyperbolic import BallPrior, WrappedNormal
from pyrovae.distributions.hyperspherical import SpherePrior, UniformSphere, VonMisesFisher, onto_sphere
from pyrovae.distributions.implicit import Implicit, is_implicit
from pyrovae.distributions.levels import DiscretizedLogistic, LevelsCategorical
from pyrovae.distributions.mixture_prior import MixturePrior
from pyrovae.distributions.ordinal import Ordinal
from pyrovae.distributions.planar import PetalsPrior, SwissRoll, SwissRollPrior, class_draws, classes_of
from pyrovae.distributions.rank_one import RankOnePrecisionGaussian
from pyrovae.distributions.rbm import RBM, BoltzmannMachine, LogNormalizer
from pyrovae.distributions.sentences import Sentences, sentence_lengths
from pyrovae.distributions.shared import SharedNormal, is_of_shared
from pyrovae.distributions.smoothed import KnownBits, RelaxedRBM, SmoothedBernoulli, SmoothedBits
from pyrovae.distributions.smoothing import (
    SMOOTHINGS,
    Exponential,
    GaussianIntegral,
    Power,
    Smoothing,
    SpikeExponential,
    UniformExponential,
)
from pyrovae.distributions.structural_similarity import StructuralSimilarity, ms_ssim
from pyrovae.distributions.vampprior import PseudoInputs, VampPrior

__all__ = [
    "RBM",
    "SMOOTHINGS",
    "AutoregressiveBernoulli",
    "AutoregressiveCategorical",
    "AutoregressiveGaussian",
    "BagOfWords",
    "BallPrior",
    "Beta",
    "BoltzmannMachine",
    "CodeMixture",
    "Codebook",
    "CodebookPrior",
    "ColourMixture",
    "Columns",
    "DiscretizedLogistic",
    "ExemplarPrior",
    "Exemplars",
    "Exponential",
    "Flat",
    "Flow",
    "FlowDistribution",
    "Gamma",
    "GaussianIntegral",
    "GaussianMixture",
    "GreyBernoulli",
    "Implicit",
    "LevelsCategorical",
    "LogNormal",
    "LogNormalizer",
    "Multinomial",
    "NegativeBinomial",
    "NeighbourPrior",
    "Ordinal",
    "Poisson",
    "Power",
    "KnownBits",
    "MixturePrior",
    "PetalsPrior",
    "PseudoInputs",
    "Quantized",
    "RelaxedRBM",
    "SharedNormal",
    "SmoothedBernoulli",
    "SmoothedBits",
    "Sentences",
    "Smoothing",
    "SpikeExponential",
    "RankOnePrecisionGaussian",
    "SpherePrior",
    "StructuralSimilarity",
    "StudentT",
    "UniformExponential",
    "SwissRoll",
    "SwissRollPrior",
    "UniformSphere",
    "VampPrior",
    "VonMisesFisher",
    "WrappedNormal",
    "flows",
    "class_draws",
    "classes_of",
    "gaussian_kl",
    "is_density",
    "is_implicit",
    "is_of_shared",
    "is_point",
    "likelihoods",
    "mask_distribution",
    "ms_ssim",
    "onto_sphere",
    "sentence_lengths",
]
