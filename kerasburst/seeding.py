"""One seed fixes a run: every part of it draws from a stream of its own, derived here."""

from __future__ import annotations

import numpy as np


def derive_seed(seed: int, *keys: int | str) -> int:
    """Return a seed in 0..2**31-1 for the part of a run that `keys` name, independent of other parts'.

    Example:
        >>> derive_seed(0, "shuffle") == derive_seed(0, "shuffle"), derive_seed(0, "a") == derive_seed(0, "b")
        (True, False)
    """
    words = [int.from_bytes(key.encode(), "little") if isinstance(key, str) else int(key) for key in keys]
    return int(np.random.SeedSequence([int(seed), *words]).generate_state(1, np.uint32)[0] >> 1)
