"""`RunReference`: which training run an audit or a transfer starts from."""

from __future__ import annotations

import dataclasses
import re

from kerasburst.validation import fail

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True)
class RunReference:
    """A training run by its weights, and where it was last.

    Two are equal where the weights are: a run that has moved is the same run.

    Args:
        path: the run's directory.
        weights: SHA-256 (hex) of the trained network's weights.

    Raises:
        InputError: for a path or a hash that is none.

    Example:
        >>> RunReference("runs/digits-rate", "0" * 64) == RunReference("elsewhere", "0" * 64)
        True
    """

    path: str = dataclasses.field(compare=False)
    weights: str

    def __post_init__(self):
        """Check both."""
        if not isinstance(self.path, str) or not self.path:
            raise fail("run", "the path of a run directory", self.path)
        if not isinstance(self.weights, str) or not _SHA256.fullmatch(self.weights):
            raise fail("weights of the run", "a SHA-256 of 64 hex digits", self.weights)
