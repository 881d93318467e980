"""Metrics of codes against known factors: functions of arrays (codes, factors), each with definition, error and ceiling."""

from pyrovae.evaluation.disentanglement.arrays import Score
from pyrovae.evaluation.disentanglement.explicit import explicitness
from pyrovae.evaluation.disentanglement.importance import completeness, dci, disentanglement_of
from pyrovae.evaluation.disentanglement.interventions import beta_vae_score, factor_vae_score, irs
from pyrovae.evaluation.disentanglement.mutual import mig, mig_binned, modularity
from pyrovae.evaluation.disentanglement.separation import sap
from pyrovae.evaluation.disentanglement.table import Disentanglement, disentanglement_scores
from pyrovae.evaluation.disentanglement.unsupervised import gaussian_tc, pairwise_information, udr, wasserstein_dependence

__all__ = [
    "Disentanglement",
    "Score",
    "beta_vae_score",
    "completeness",
    "dci",
    "disentanglement_of",
    "disentanglement_scores",
    "explicitness",
    "factor_vae_score",
    "gaussian_tc",
    "irs",
    "mig",
    "mig_binned",
    "modularity",
    "pairwise_information",
    "sap",
    "udr",
    "wasserstein_dependence",
]
