"""A SavedModel with named signatures that are pure functions of their inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from kerasburst.export.manifest import Written, describe_tensors
from kerasburst.export.network import Network
from kerasburst.export.queries import ask, checked, fresh_spikes
from kerasburst.validation import InputError

_SAYS = {
    "serving_default": "class scores of images, encoded afresh in each call",
    "seeded": "the mean over K = queries encodings; an answer hangs on the image and the seed alone",
    "encoded": "class scores of spikes",
    "step": "one time step: give zeros for the states at first, then what came out",
    "trace": "the output neurons' membrane at every step",
}


def write_savedmodel(network: Network, folder: Path) -> Written:
    """Write the SavedModel into `folder`; see `kerasburst.export.savedmodel`."""
    module = tf.Module()
    # What a fine-tuning client finds on the loaded object.
    module.trainable_weights = [v.value for v in network.model.trainable_weights]
    module.non_trainable_weights = [v.value for v in network.model.non_trainable_weights]
    functions = make_functions(network)
    signatures = {
        name: tf.function(run, autograph=False).get_concrete_function(**specs)
        for name, (run, specs) in functions.items()
    }
    for name, signature in signatures.items():
        written = {node.op for node in _nodes(signature.graph.as_graph_def()) if node.op.startswith("Assign")}
        if written:
            raise InputError(f"model must not write variables where it serves, its {name} does: {', '.join(written)}")
    tf.saved_model.save(module, str(folder), signatures=signatures)
    described = {
        name: {
            "does": _SAYS[name] if network.encoder is not None or name != "serving_default" else _SAYS["encoded"],
            "inputs": describe_tensors(functions[name][1]),
            "outputs": describe_tensors(signature.structured_outputs),
        }
        for name, signature in signatures.items()
    }
    return Written(described, {} if network.no_step is None else {"step": network.no_step})


def make_functions(network: Network) -> dict[str, tuple[Callable, dict[str, tf.TensorSpec]]]:
    """Give the functions that are served, by the name of the signature, with what goes in.

    Those of images are absent where it has no encoder, and `step` where it cannot run step by step.
    """

    def scores(spikes):
        logits, _ = network.encoded(spikes)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    def step(spikes, **states):
        logits, states = network.step(spikes, states)
        return {"logits": logits, **states}

    spikes = tf.TensorSpec((None, network.num_steps, *network.spike_features), tf.float32, name="spikes")
    functions = {
        "encoded": (scores, {"spikes": spikes}),
        "trace": (lambda spikes: {"mem": network.encoded(spikes)[1]}, {"spikes": spikes}),
    }
    if network.encoder is None:
        functions["serving_default"] = functions["encoded"]
    else:
        images = tf.TensorSpec((None, *network.features), tf.float32, name="images")

        def serving_default(images):
            spikes = fresh_spikes(network.encoder, checked(network, images))
            return scores(tf.cast(spikes, tf.float32))

        def seeded(images, seed, queries):
            return ask(network, images, seed, queries)

        seed, queries = tf.TensorSpec((), tf.int64, name="seed"), tf.TensorSpec((), tf.int32, name="queries")
        functions["serving_default"] = serving_default, {"images": images}
        functions["seeded"] = seeded, {"images": images, "seed": seed, "queries": queries}
    if network.no_step is None:
        specs = {"spikes": tf.TensorSpec((None, *network.spike_features), tf.float32, name="spikes")}
        for name, shape in network.states.items():
            specs[name] = tf.TensorSpec((None, *shape), tf.float32, name=name)
        functions["step"] = step, specs
    return functions


def _nodes(graph):
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def
