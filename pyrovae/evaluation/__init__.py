"""What a trained pair is worth, beside log p(x): its latents, its classifier, its reconstructions."""

from pyrovae.evaluation.aggregate import AggregatePosterior, aggregate_posterior
from pyrovae.evaluation.attack_measures import code_classifier
from pyrovae.evaluation.attacks import Attack, attack
from pyrovae.evaluation.classification import Classification, classify, classify_clusters
from pyrovae.evaluation.disentanglement import Disentanglement, disentanglement_scores
from pyrovae.evaluation.distortion import DistortionCurve, distortion_curve
from pyrovae.evaluation.features import classify_features
from pyrovae.evaluation.latents import active_units, kl_per_dim, posterior_moments
from pyrovae.evaluation.ranking import mean_average_precision, relevance
from pyrovae.evaluation.reconstruction import ReconstructionError, reconstruction_error
from pyrovae.evaluation.search import BestCodes, best_codes
from pyrovae.evaluation.summary import Evaluation, evaluate
from pyrovae.evaluation.tables import impute_table, log_evidence_table, reconstruct_table, sample_table
from pyrovae.evaluation.topics import Perplexity, npmi, perplexity, top_words, unigram
from pyrovae.evaluation.trust import Verdict, verdict

__all__ = [
    "AggregatePosterior",
    "Attack",
    "BestCodes",
    "Classification",
    "Disentanglement",
    "DistortionCurve",
    "Evaluation",
    "ReconstructionError",
    "Perplexity",
    "Verdict",
    "active_units",
    "aggregate_posterior",
    "attack",
    "best_codes",
    "classify",
    "classify_clusters",
    "classify_features",
    "code_classifier",
    "disentanglement_scores",
    "distortion_curve",
    "evaluate",
    "impute_table",
    "kl_per_dim",
    "log_evidence_table",
    "mean_average_precision",
    "npmi",
    "perplexity",
    "posterior_moments",
    "reconstruct_table",
    "reconstruction_error",
    "relevance",
    "sample_table",
    "top_words",
    "unigram",
    "verdict",
]
