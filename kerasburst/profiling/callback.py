"""`ProfilerCallback`: a profiler around a training's epochs."""

from __future__ import annotations

import keras

from kerasburst.profiling.profiler import Profiler
from kerasburst.validation import check_float, check_int


class ProfilerCallback(keras.callbacks.Callback):
    """Watches a training from the end of its warm-up epochs to its end.

    Power at rest is sampled before the first epoch. The first epoch compiles and allocates; the region begins when it
    is over. `profiler.result` then has the figures, of `epochs` epochs.

    Args:
        profiler: what watches.
        warm_up_epochs: epochs before the region, at least 0.
        window_s: end the training after the epoch in which the region has lasted so many seconds; None: never.

    Raises:
        InputError: for a number outside its range.

    Example:
        See `Profiler.callback`.
    """

    def __init__(self, profiler: Profiler, *, warm_up_epochs: int = 1, window_s: float | None = None):
        super().__init__()
        self.profiler = profiler
        self.epochs = 0
        self._warm_up_epochs = check_int("warm_up_epochs", warm_up_epochs, low=0)
        self._window_s = None if window_s is None else check_float("window_s", window_s, low=0.0)
        self._seen = 0

    def on_train_begin(self, logs=None):
        """Sample power at rest; without warm-up, begin the region."""
        self._seen = self.epochs = 0
        self.profiler.rest()
        if self._warm_up_epochs == 0:
            self.profiler.start()

    def on_epoch_end(self, epoch, logs=None):
        """Count an epoch; after the last of the warm-up, begin the region."""
        self._seen += 1
        if self._seen == self._warm_up_epochs:
            self.profiler.start()
        elif self._seen > self._warm_up_epochs:
            self.epochs += 1
            if self._window_s is not None and self.profiler.seconds() >= self._window_s:
                self.model.stop_training = True

    def on_train_end(self, logs=None):
        """End the region."""
        if self.profiler.running:
            self.profiler.stop()
