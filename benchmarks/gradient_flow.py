"""Draw how large gradients are at each layer of deep spiking networks, at their first step.

    python benchmarks/gradient_flow.py --out gradients.png

The norm of the loss's gradient in each convolution's kernel, from the first to the last; shortcuts are left out.
"""

from __future__ import annotations

from pathlib import Path

import click
import keras
import numpy as np
import tensorflow as tf

import kerasburst as kb
from kerasburst.pictures import save_picture

DRAWN = {
    "SEWResNet 18, ADD": {"depth": 18},
    "SEWResNet 18, AND": {"depth": 18, "connect": "AND"},
    "SEWResNet 18, IAND": {"depth": 18, "connect": "IAND"},
    "SEWResNet 18, ADD, no normalisation": {"depth": 18, "normalization": "none"},
    "SEWResNet 34, ADD": {"depth": 34},
}


def gradient_norms(network: kb.SpikingNetwork, x, y) -> dict[str, float]:
    """Return the norm of the loss's gradient in each convolution's kernel, by layer, in the order of the network."""
    network.build(x.shape)
    layers = [part for part in network.leaves() if isinstance(part, keras.layers.Conv2D)]
    layers = [layer for layer in layers if "shortcut" not in layer.name]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        value = loss(y, network(x, training=True))
    found = tape.gradient(value, [layer.kernel.value for layer in layers])
    return {layer.name: float(tf.norm(gradient)) for layer, gradient in zip(layers, found, strict=True)}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The picture, a PNG.")
@click.option("--width", default=8, show_default=True)
@click.option("--num-steps", default=4, show_default=True)
@click.option("--batch", default=16, show_default=True)
def command(out, width, num_steps, batch):
    """Draw the norms for several networks of random weights, on random spikes, and print the first and the last."""
    from matplotlib.figure import Figure

    rng = np.random.default_rng(0)
    x = tf.constant(rng.random((batch, num_steps, 16, 16, 3)) < 0.3, tf.float32)
    y = tf.constant(rng.integers(0, 10, batch))
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for label, options in DRAWN.items():
        network = kb.SEWResNet(10, width=width, seed=0, readout="mean", **options)
        norms = list(gradient_norms(network, x, y).values())
        axes.plot(range(1, len(norms) + 1), [norm or np.nan for norm in norms], marker=".", label=label)
        click.echo(
            f"{label}: first {norms[0]:.2e}, last {norms[-1]:.2e}, least {min(norms):.2e}, most {max(norms):.2e}"
        )
    axes.set(yscale="log", xlabel="convolution, from the input", ylabel="norm of the gradient")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
    save_picture(figure, out)


if __name__ == "__main__":
    command()
