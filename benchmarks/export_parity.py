"""How far exports are from Keras on real images, given the same spikes: the largest logit difference, and classes.

Each network is trained for an epoch, exported as a SavedModel, to ONNX and to LiteRT, and asked for the spikes of
MNIST test images. Other runtimes round sums otherwise; where a membrane lies within that of its threshold, a spike
comes or stays away, and the logits are then apart by what it weighs. Such examples are counted: those whose logits are
more than 1e-4 apart, and how near the nearest membrane of theirs is to its threshold.

Run: python benchmarks/export_parity.py [--images 1000]   (needs mnist.npz in KERASBURST_DATA)
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

import kerasburst as kb
from kerasburst.export import export
from kerasburst.export.formats import read_manifest
from kerasburst.models.forward import walk
from kerasburst.neurons.scan import scan
from kerasburst.registry import FORMATS

NETWORKS = {
    "SNNConvNet relu": {"model": "SNNConvNet", "network": {"conv_activation": "relu"}},
    "SNNConvNet lif": {"model": "SNNConvNet", "network": {"conv_activation": "lif"}},
    "SNNFCNet": {"model": "SNNFCNet"},
}
BATCH = 100


def nearest(network, x):
    """Return each example's smallest distance of a membrane from its threshold, over all neurons and steps."""
    found = []

    def fire(lif, current):
        spk, states = scan(lif, current)
        distance = tf.abs(states["mem"] - lif.neuron_parameters()["threshold"])
        found.append(tf.reduce_min(tf.reshape(distance, [len(x), -1]), axis=1))
        return spk, states

    walk(network.course(), tf.constant(x), fire)
    return tf.reduce_min(tf.stack(found), axis=0).numpy()


def compare(name, reset, images):
    """Train, export in each format, and return a row of figures for each."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        config = kb.TrainConfig(
            dataset="mnist",
            encoding="poisson_burst",
            neuron={"reset_mechanism": reset},
            epochs=1,
            train_limit=2000,
            queries=1,
            **NETWORKS[name],
        )
        kb.train(config, f"{place}/run")
        network = kb.load_network(f"{place}/run")
        data = kb.load_dataset("mnist")
        spikes = network.encoder(data.x_test[:images]).numpy()
        parts = [spikes[i : i + BATCH] for i in range(0, images, BATCH)]
        bare = network.with_encoder(None)
        want = np.concatenate([bare(part) for part in parts])
        for format in ("savedmodel", "onnx", "litert"):
            folder = Path(place, format)
            export(network, folder, format)
            run = FORMATS[format]().run(folder, read_manifest(folder))
            got = np.concatenate([run(part) for part in parts])
            apart = np.abs(got - want).max(axis=1)
            moved = apart > 1e-4
            rows.append(
                {
                    "network": name,
                    "reset": reset,
                    "format": format,
                    "images": images,
                    "largest_difference": float(apart[~moved].max()),
                    "classes_differ": int((got.argmax(1) != want.argmax(1)).sum()),
                    "examples_with_a_moved_spike": int(moved.sum()),
                    "largest_difference_of_those": float(apart[moved].max()) if moved.any() else None,
                    "their_nearest_membrane_at_most": float(nearest(bare, spikes[moved]).max())
                    if moved.any()
                    else None,
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


def main():
    """Compare every network and reset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    arguments = parser.parse_args()
    for name in NETWORKS:
        for reset in ("subtract", "zero", "none"):
            compare(name, reset, arguments.images)


if __name__ == "__main__":
    main()
