"""How a fleet's workers, on this machine or another, know whether their work is still wanted.

The process that runs the fleet holds a lock on a file, which the kernel takes back however the process ends, `kill -9`
included. Other machines may not see the lock; they see the token in the file, which is gone after an orderly end and
another one when the fleet was begun anew.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kerasburst.validation import InputError

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@dataclass(frozen=True)
class Lease:
    """What a worker is given to ask whether it should go on.

    Args:
        path: the file.
        token: what it holds while the fleet runs.
        host: the machine on which it is locked; empty where the file system knows no locks.
    """

    path: str
    token: str
    host: str

    def lost(self) -> bool:
        """Tell whether the fleet has ended or died."""
        try:
            with open(self.path, "rb", buffering=0) as file:
                if file.read() != self.token.encode():
                    return True
                if self.host != socket.gethostname():
                    return False
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return True
        except FileNotFoundError:
            return True
        except OSError:  # the lock is held; or a shared file system falters, which is no reason to stop
            return False


@contextlib.contextmanager
def hold_lease(folder: Path, patience_s: float = 2.0) -> Iterator[Lease]:
    """Hold a lease in `folder` while the body runs.

    Args:
        folder: an existing directory.
        patience_s: how long another process may keep the lock: a worker that asks has it for an instant.

    Raises:
        InputError: where another process holds one there.
    """
    path = folder / ".fleet"
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0) as file:
        locks = _lock(file, time.monotonic() + patience_s, folder)
        lease = Lease(str(path.absolute()), uuid.uuid4().hex, socket.gethostname() if locks else "")
        file.truncate(0)
        file.write(lease.token.encode())
        try:
            yield lease
        finally:
            file.truncate(0)


def _lock(file, deadline: float, folder: Path) -> bool:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise InputError(f"log_dir must be free, another process runs a fleet in {folder}") from None
            time.sleep(0.05)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            raise
