"""Variational autoencoders as pairs of Pyro programs: write p(x, z) and q(z | x), get everything else.

>>> import pyrovae as pv
>>> data = pv.data.load("digits")
>>> pair = pv.pairs.vae(data.spec, latent_dim=2)
>>> run = pv.fit(pair, data, epochs=1, progress=False)
>>> evidence = pv.log_evidence(pair.model, pair.guide, data.test, num_samples=10)
"""

from importlib.metadata import version

from pyrovae import data, objectives, pairs
from pyrovae.check import check
from pyrovae.compile import compile_step
from pyrovae.evaluation import Evaluation, evaluate
from pyrovae.evidence import Evidence, bdmc, gaps, log_evidence
from pyrovae.export import to_arviz
from pyrovae.generate import interpolate, manifold, posterior, reconstruct, sample, traverse
from pyrovae.pair import Pair
from pyrovae.report import write_report
from pyrovae.runs import load, resume
from pyrovae.train import Run, fit

__version__ = version("pyrovae")

__all__ = [
    "Evaluation",
    "Evidence",
    "Pair",
    "Run",
    "bdmc",
    "check",
    "compile_step",
    "data",
    "evaluate",
    "fit",
    "gaps",
    "interpolate",
    "load",
    "log_evidence",
    "manifold",
    "objectives",
    "pairs",
    "posterior",
    "reconstruct",
    "resume",
    "sample",
    "to_arviz",
    "traverse",
    "write_report",
]
