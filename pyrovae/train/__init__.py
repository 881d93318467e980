"""Training: ``fit``, runs and their checkpoints."""

from pyrovae.train.fitting import fit
from pyrovae.train.run import Run

__all__ = ["Run", "fit"]
