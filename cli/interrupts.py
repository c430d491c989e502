"""Ctrl-C that is not lost.

Python raises KeyboardInterrupt wherever it stands; where that is a finaliser or a callback out of C, the exception is
printed and forgotten, and the command would go on. So it is noted too, and raised again after the epoch.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

_lost = threading.Event()


@contextlib.contextmanager
def noted_interrupts() -> Iterator[None]:
    """Note each Ctrl-C while the body runs, besides raising it; of use in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(signum, frame):
        _lost.set()
        raise KeyboardInterrupt

    _lost.clear()
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # the caller's own, or none: a shell's background job ignores Ctrl-C
        yield
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def raise_lost() -> None:
    """Raise a Ctrl-C that came and was lost.

    Raises:
        KeyboardInterrupt: where one did.
    """
    if _lost.is_set():
        _lost.clear()
        raise KeyboardInterrupt
