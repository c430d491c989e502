"""One model on TensorFlow, JAX and PyTorch: the first backend trains it, the others load it.

Run: for backend in tensorflow jax torch; do KERAS_BACKEND=$backend python examples/three_backends.py; done
"""

import sys
from pathlib import Path

import kerasburst as kb
import keras
from sklearn.datasets import load_digits


def main(path: str = "digits.keras", epochs: int = 10) -> dict:
    """Return the backend, the accuracy on held-out digits, and the logits of the first of them."""
    images, labels = load_digits().data.astype("float32") / 16, load_digits().target
    if not Path(path).exists():
        model = keras.Sequential(
            [
                keras.Input((64,)),
                kb.RateEncoder(8, mode="regular"),
                keras.layers.Dense(64),
                kb.LIF(beta=0.9),
                keras.layers.Dense(10),
                kb.LeakyIntegrator(beta=0.9, return_sequences=False),
            ]
        )
        model.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(images[:1400], labels[:1400], epochs=epochs, batch_size=64, verbose=0)
        model.save(path)
    logits = keras.saving.load_model(path).predict(images[1400:], verbose=0)
    accuracy = float((logits.argmax(axis=1) == labels[1400:]).mean())
    return {"backend": keras.backend.backend(), "accuracy": accuracy, "logits": logits[0].round(4).tolist()}


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
