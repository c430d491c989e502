"""TensorFlow's start without the lines that it prints."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

_LOG_LINE = re.compile(rb"([IWE]\d{4} |WARNING: All log messages before absl|To enable the following instructions: )")


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Leave out TensorFlow's log lines while the body imports it, and set its log level for what comes after.

    C++ prints the first lines before it reads the log level, so standard error goes to a file meanwhile. All other
    lines are printed afterwards, and the log lines too if the import crashes. Where TF_CPP_MIN_LOG_LEVEL is set to
    less than 3, nothing is left out.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        yield
        return
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed
        yield
        return
    crashed = False
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        except BaseException as error:
            crashed = not isinstance(error, ImportError | ValueError)  # whose message says what is wrong
            raise
        finally:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            written.seek(0)
            lines = [line for line in written if crashed or not _LOG_LINE.match(line)]
            with contextlib.suppress(OSError):
                os.write(2, b"".join(lines))
