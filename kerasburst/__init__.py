"""Burst spike encoders, spiking neural networks for Keras 3, and honest measurements of both.

Importing kerasburst registers its layers with Keras, so that `keras.saving.load_model` reads our files. Everything
public can be imported from here; what needs more than Keras is loaded when it is first used.
"""

import os

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# Processes that only hand work on, such as the command line before it knows what is asked, set this and import what
# they need by themselves: TensorFlow's start takes seconds.
if not os.environ.get("KERASBURST_DEFER_LAYERS"):
    from kerasburst.quiet import quiet_start

    with quiet_start():
        import kerasburst.backend  # the first, since it says what is missing
        import kerasburst.layers  # noqa: F401
