"""Variational autoencoders as pairs of Pyro programs: write p(x, z) and q(z | x), get everything else.

>>> import pyrovae as pv
>>> data = pv.data.load("digits")
>>> pair = pv.pairs.vae(data.spec, latent_dim=2)
>>> run = pv.fit(pair, data, epochs=1, progress=False)
>>> evidence = pv.log_evidence(run, data.test, num_samples=10)
"""

from importlib.metadata import version

from pyrovae import data, objectives, pairs, train
from pyrovae.compile import compile_step
from pyrovae.core.contract import check
from pyrovae.core.pair import Pair
from pyrovae.core.steps import unroll
from pyrovae.effects import observed_part
from pyrovae.evaluation import (
    Classification,
    Disentanglement,
    Evaluation,
    ReconstructionError,
    classify,
    classify_features,
    disentanglement_scores,
    evaluate,
    impute_table,
    log_evidence_table,
    reconstruct_table,
    reconstruction_error,
    sample_table,
)
from pyrovae.evidence import Evidence, bdmc, gaps, log_evidence
from pyrovae.generate import (
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
from pyrovae.report import write_report
from pyrovae.runs import fit_seeds, fit_stages, load, resume, to_arviz
from pyrovae.train import Run, fit

__version__ = version("pyrovae")

__all__ = [
    "Classification",
    "Disentanglement",
    "Evaluation",
    "Evidence",
    "Pair",
    "ReconstructionError",
    "Run",
    "analogies",
    "bdmc",
    "check",
    "class_samples",
    "classify",
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
    "write_report",
]
