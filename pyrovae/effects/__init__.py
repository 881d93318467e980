"""Effect handlers that change what a program's sites are: one handler a file."""

from pyrovae.effects.blocked import Blocked, without_sites
from pyrovae.effects.labels import Labelled
from pyrovae.effects.missing import ObservedPart, observed_part

__all__ = ["Blocked", "Labelled", "ObservedPart", "observed_part", "without_sites"]
