"""Compose the layers into a Keras model of your own: encoder, convolution, LIF, an RNN of LIF cells.

Run: python examples/compose_layers.py
"""

import tempfile

import kerasburst as kb
import keras
import numpy as np
from sklearn.datasets import load_digits


def build(num_steps: int = 8) -> keras.Model:
    """Return a spiking classifier of 8x8 images."""
    images = keras.Input((8, 8, 1))
    spikes = kb.PoissonBurstEncoder(num_steps, seed=0)(images)  # (batch, 8, 8, 8, 1)
    x = keras.layers.TimeDistributed(keras.layers.Conv2D(16, 3, activation="relu"))(spikes)
    x = kb.LIF(beta=0.9)(x)  # neurons for whole feature maps
    x = keras.layers.TimeDistributed(keras.layers.Flatten())(x)
    x = keras.layers.Dense(64)(x)
    x = keras.layers.RNN(kb.LIFCell(64, trainable_beta=True), return_sequences=True)(x)
    _, mem = kb.LIF(return_mem=True)(keras.layers.Dense(10)(x))
    return keras.Model(images, keras.layers.GlobalAveragePooling1D()(mem))


def main(epochs: int = 6) -> float:
    """Train for a few epochs and return the accuracy."""
    digits = load_digits()
    x, y = (digits.images[..., None] / 16).astype("float32"), digits.target
    model = build()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(x[:1500], y[:1500], epochs=epochs, batch_size=64, verbose=2)
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/digits.keras")
        again = kb.load_model(f"{folder}/digits.keras")
    accuracy = float(np.mean(again.predict(x[1500:], verbose=0).argmax(-1) == y[1500:]))
    print(f"accuracy of one encoding: {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
