"""What ``import pyrovae`` offers: each name is imported when it is first used."""

from . import data, objectives, pairs, train
from .compile import compile_step
from .core.contract import check
from .core.pair import Pair
from .core.steps import unroll
from .effects import observed_part
from .evaluation import (
    Classification,
    Disentanglement,
    Evaluation,
    ReconstructionError,
    Verdict,
    classify,
    classify_clusters,
    classify_features,
    disentanglement_scores,
    evaluate,
    impute_table,
    log_evidence_table,
    reconstruct_table,
    reconstruction_error,
    sample_table,
    verdict,
)
from .evidence import Evidence, bdmc, gaps, log_evidence
from .generate import (
    analogies,
    class_samples,
    complete,
    conditional_samples,
    continuations,
    decode,
    encode,
    impute,
    interpolate,
    manifold,
    one_step_ahead,
    posterior,
    reconstruct,
    sample,
    smooth,
    stream,
    traverse,
)
from .report import write_report
from .runs import fit_seeds, fit_stages, load, resume, to_arviz
from .train import Run, fit

__version__: str

__all__ = [
    "Classification",
    "Disentanglement",
    "Evaluation",
    "Evidence",
    "Pair",
    "ReconstructionError",
    "Run",
    "Verdict",
    "analogies",
    "bdmc",
    "check",
    "class_samples",
    "classify",
    "classify_clusters",
    "classify_features",
    "complete",
    "compile_step",
    "conditional_samples",
    "continuations",
    "data",
    "decode",
    "encode",
    "disentanglement_scores",
    "evaluate",
    "fit",
    "fit_seeds",
    "fit_stages",
    "gaps",
    "impute",
    "impute_table",
    "interpolate",
    "load",
    "log_evidence",
    "log_evidence_table",
    "manifold",
    "objectives",
    "observed_part",
    "one_step_ahead",
    "pairs",
    "posterior",
    "reconstruct",
    "reconstruct_table",
    "reconstruction_error",
    "resume",
    "sample",
    "sample_table",
    "smooth",
    "stream",
    "to_arviz",
    "train",
    "traverse",
    "unroll",
    "verdict",
    "write_report",
]
