"""Training: ``fit``, its settings, runs and their checkpoints, callbacks.

Callbacks and loggers of one's own extend :class:`Callback` and :class:`Logger`; :class:`EarlyStopping` goes by any metric.
"""

from pyrovae.train.callbacks import Callback, Logger
from pyrovae.train.early_stopping import EarlyStopping
from pyrovae.train.fitting import fit
from pyrovae.train.loggers import CSVLog, ProgressBar, TensorBoard
from pyrovae.train.run import Run
from pyrovae.train.settings import FitSettings

__all__ = ["CSVLog", "Callback", "EarlyStopping", "FitSettings", "Logger", "ProgressBar", "Run", "TensorBoard", "fit"]
