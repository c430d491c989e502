"""TensorFlow's functions run one operation after the other, where a test asks of nothing that compiling changes.

Compiling takes most of the time of a small test. `XLA_FLAGS= pytest` compiles as usual.
"""

import contextlib
import os
import warnings


@contextlib.contextmanager
def eagerly():
    if os.environ["KERAS_BACKEND"] != "tensorflow" or not os.environ["XLA_FLAGS"]:
        yield
        return
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Even though .*run_functions_eagerly")  # of tf.data, which compiles always
        tf.config.run_functions_eagerly(True)
        try:
            yield
        finally:
            tf.config.run_functions_eagerly(False)
