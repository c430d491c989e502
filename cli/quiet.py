"""Import TensorFlow without its start-up lines."""

from __future__ import annotations

import os
import sys
import tempfile


def load_tensorflow() -> None:
    """Import TensorFlow and Keras; what they print on the way is shown only if they fail.

    The lines come from C++ before its log level is read, hence the file descriptor. A lower
    TF_CPP_MIN_LOG_LEVEL in the environment means that somebody wants to see them.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        _load()
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as swallowed:
        os.dup2(swallowed.fileno(), 2)
        try:
            _load()
        except BaseException:
            sys.stderr.flush()
            swallowed.seek(0)
            os.write(kept, swallowed.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def _load() -> None:
    import keras
    import tensorflow as tf

    from kerasburst.validation import InputError

    if keras.backend.backend() != "tensorflow":
        raise InputError(f"KERAS_BACKEND must be tensorflow, received {keras.backend.backend()}")
    tf.config.list_physical_devices()
    tf.get_logger().setLevel("ERROR")
