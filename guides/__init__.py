"""Amortized guides q(z | x): one posterior family a file, each a module whose forward is the Pyro program."""

from pyrovae.guides.auxiliary_class_gaussian import AuxiliaryClassGaussian
from pyrovae.guides.bottom_up_gaussian import BottomUpGaussian
from pyrovae.guides.class_gaussian import ClassGaussian
from pyrovae.guides.conditional_gaussian import ConditionalGaussian, ConditionalPrior
from pyrovae.guides.diagonal_gaussian import DiagonalGaussian
from pyrovae.guides.feature_class_gaussian import FeatureClassGaussian
from pyrovae.guides.full_rank_gaussian import FullRankGaussian
from pyrovae.guides.linear_gaussian import LinearGaussian
from pyrovae.guides.normalizing_flow import NormalizingFlow
from pyrovae.guides.top_down_gaussian import TopDownGaussian

__all__ = [
    "FeatureClassGaussian",
    "AuxiliaryClassGaussian",
    "BottomUpGaussian",
    "ClassGaussian",
    "ConditionalGaussian",
    "ConditionalPrior",
    "DiagonalGaussian",
    "FullRankGaussian",
    "LinearGaussian",
    "NormalizingFlow",
    "TopDownGaussian",
]
