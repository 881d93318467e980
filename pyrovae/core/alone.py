"""One thread at a time: Pyro's handlers and torch's random numbers belong to the process, not to a thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["alone"]

log = logging.getLogger("pyrovae")

SAY_AFTER_SECONDS = 10.0
_LOCK = threading.RLock()


@contextmanager
def alone() -> Iterator[None]:
    """Within it this thread alone runs programs; others that want to wait for it.

    >>> with alone(), alone():  # a thread may enter again
    ...     pass
    """
    if not _LOCK.acquire(timeout=SAY_AFTER_SECONDS):
        log.warning("another thread of this process runs a pair, and Pyro can run one at a time: waiting for its end.")
        _LOCK.acquire()
    try:
        yield
    finally:
        _LOCK.release()
