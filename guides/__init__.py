"""Amortized guides q(z | x): one posterior family a file, each a module whose forward is the Pyro program."""

from pyrovae.guides.autoencoders.denoising import Denoising
from pyrovae.guides.autoencoders.deterministic import Deterministic
from pyrovae.guides.basic.diagonal_gaussian import DiagonalGaussian
from pyrovae.guides.basic.full_rank_gaussian import FullRankGaussian
from pyrovae.guides.basic.gaussian_mixture import GaussianMixture
from pyrovae.guides.basic.isotropic_gaussian import IsotropicGaussian
from pyrovae.guides.basic.linear_gaussian import LinearGaussian
from pyrovae.guides.basic.normalizing_flow import NormalizingFlow
from pyrovae.guides.conditional.conditional_gaussian import ConditionalGaussian, ConditionalPrior
from pyrovae.guides.hierarchical.bottom_up_gaussian import BottomUpGaussian
from pyrovae.guides.hierarchical.top_down_gaussian import TopDownGaussian
from pyrovae.guides.semisupervised.auxiliary_class_gaussian import AuxiliaryClassGaussian
from pyrovae.guides.semisupervised.class_gaussian import ClassGaussian
from pyrovae.guides.semisupervised.feature_class_gaussian import FeatureClassGaussian

__all__ = [
    "FeatureClassGaussian",
    "AuxiliaryClassGaussian",
    "BottomUpGaussian",
    "ClassGaussian",
    "ConditionalGaussian",
    "ConditionalPrior",
    "Denoising",
    "Deterministic",
    "DiagonalGaussian",
    "FullRankGaussian",
    "GaussianMixture",
    "IsotropicGaussian",
    "LinearGaussian",
    "NormalizingFlow",
    "TopDownGaussian",
]
