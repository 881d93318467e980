"""Amortized guides q(z | x): one posterior family a file, each a module whose forward is the Pyro program."""

from pyrovae.guides.auxiliary_class_gaussian import AuxiliaryClassGaussian
from pyrovae.guides.class_gaussian import ClassGaussian
from pyrovae.guides.conditional_gaussian import ConditionalGaussian, ConditionalPrior
from pyrovae.guides.denoising import Denoising
from pyrovae.guides.deterministic import Deterministic
from pyrovae.guides.diagonal_gaussian import DiagonalGaussian
from pyrovae.guides.feature_class_gaussian import FeatureClassGaussian
from pyrovae.guides.full_rank_gaussian import FullRankGaussian
from pyrovae.guides.gaussian_mixture import GaussianMixture
from pyrovae.guides.isotropic_gaussian import IsotropicGaussian
from pyrovae.guides.linear_gaussian import LinearGaussian

__all__ = [
    "FeatureClassGaussian",
    "AuxiliaryClassGaussian",
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
]
