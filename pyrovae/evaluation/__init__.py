"""What a trained pair is worth, beside log p(x): its latents, its classifier, its reconstructions."""

from pyrovae.evaluation.classification import Classification, classify
from pyrovae.evaluation.features import classify_features
from pyrovae.evaluation.latents import active_units, kl_per_dim, posterior_moments
from pyrovae.evaluation.reconstruction import ReconstructionError, reconstruction_error
from pyrovae.evaluation.summary import Evaluation, evaluate

__all__ = [
    "Classification",
    "Evaluation",
    "ReconstructionError",
    "active_units",
    "classify",
    "classify_features",
    "evaluate",
    "kl_per_dim",
    "posterior_moments",
    "reconstruction_error",
]
