"""Runs on disk: read back, continued, trained in stages, exported to ArviZ."""

from pyrovae.runs.arviz import to_arviz, write_netcdf
from pyrovae.runs.folders import load, resume
from pyrovae.runs.seeds import SeedRuns, fit_seeds
from pyrovae.runs.stages import fit_stages

__all__ = ["SeedRuns", "fit_seeds", "fit_stages", "load", "resume", "to_arviz", "write_netcdf"]
