"""How a fleet's workers, on this machine or another, learn that the fleet has ended.

The process that runs the fleet holds a lock on a file, which the kernel releases however the process ends, `kill -9`
included. Other machines may not see the lock; they see the token in the file, which is removed at an orderly end and
replaced when the fleet starts again.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kerasburst import files
from kerasburst.validation import InputError

try:
    import fcntl
except ImportError:  # not POSIX: the token alone counts
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Lease:
    """What a worker needs to see whether its fleet still runs.

    Args:
        path: of the file.
        token: its content while the fleet runs.
        host: the machine on which it is locked; empty where there are no locks.
    """

    path: str
    token: str
    host: str

    def lost(self) -> bool:
        """Return whether the fleet has ended or died."""
        try:
            with open(self.path, "rb", buffering=0) as file:
                if file.read() != self.token.encode():
                    return True
                if fcntl is None or self.host != socket.gethostname():
                    return False
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return True
        except FileNotFoundError:
            return True
        except OSError:  # the lock is held; or a shared file system falters, which is no reason to stop
            return False


@contextlib.contextmanager
def hold_lease(folder: Path, patience_s: float = 1.0) -> Iterator[Lease]:
    """Hold a lease in `folder` while the body runs.

    Args:
        folder: an existing directory.
        patience_s: how long to wait for the lock, seconds: a worker that looks holds it for an instant.

    Raises:
        InputError: where another process holds one there.
    """
    path = folder / ".fleet"
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0) as file:
        deadline = time.monotonic() + patience_s
        while (locked := files.lock(file.fileno())) is False:
            if time.monotonic() > deadline:
                raise InputError(f"log_dir must be free, another process runs a fleet in {folder}")
            time.sleep(0.05)
        lease = Lease(str(path.absolute()), uuid.uuid4().hex, socket.gethostname() if locked else "")
        file.truncate(0)
        file.write(lease.token.encode())
        try:
            yield lease
        finally:
            file.truncate(0)
