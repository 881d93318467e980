"""Generative models p(x, z): one generative story a file, each a module whose forward is the Pyro program.

Every class below this package is found here by its name.
"""

from typing import Any

from pyrovae.registry import public_names

_FOUND: dict[str, Any] = public_names(__path__, __name__)
globals().update(_FOUND)
__all__ = sorted(_FOUND)
