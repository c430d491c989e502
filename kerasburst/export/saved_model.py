"""A SavedModel with named signatures that are pure functions of their inputs."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from kerasburst.export.formats import Format, Written, describe_tensors
from kerasburst.export.network import Network, asked_by, fresh_spikes
from kerasburst.validation import InputError, one_line

DOES = {
    "serving_default": "class scores of images, encoded afresh in each call",
    "seeded": "the mean over K = queries encodings; an answer depends on the image and the seed alone",
    "encoded": "class scores of spikes",
    "step": "one time step: give zeros for the states at first, then what came out",
    "trace": "the output neurons' membrane at every step",
}


class SavedModel(Format):
    """Writes and runs a SavedModel with everything in it, the encoder included; see `kerasburst.export.savedmodel`."""

    holds_encoder = True

    def write(self, network, folder):
        """Write the SavedModel; see `Format.write`."""
        module = tf.Module()
        # A client that fine-tunes finds these on the loaded object.
        module.trainable_weights = [v.value for v in network.model.trainable_weights]
        module.non_trainable_weights = [v.value for v in network.model.non_trainable_weights]
        functions = make_functions(network)
        signatures = {
            name: tf.function(run, autograph=False).get_concrete_function(**specs)
            for name, (run, specs) in functions.items()
        }
        for name, signature in signatures.items():
            graph = signature.graph.as_graph_def()
            nodes = itertools.chain(graph.node, *(function.node_def for function in graph.library.function))
            if assigns := {node.op for node in nodes if node.op.startswith("Assign")}:
                raise InputError(
                    f"model must not write variables when it is called, its {name} does: {', '.join(assigns)}"
                )
        tf.saved_model.save(module, str(folder), signatures=signatures)
        does = DOES if network.encoder is not None else DOES | {"serving_default": DOES["encoded"]}
        described = {
            name: {
                "does": does[name],
                "inputs": describe_tensors(functions[name][1]),
                "outputs": describe_tensors(signature.structured_outputs),
            }
            for name, signature in signatures.items()
        }
        left_out = {} if network.no_step is None else {"step": network.no_step}
        if not network.traced:
            left_out["trace"] = "the last neurons run in a way of their own, which shows no membrane"
        return Written(described, left_out, _calls(network))

    def verify(self, folder, manifest, verifier):
        """Compare all signatures with the model; see `Format.verify`."""
        served, network, spikes = _load(folder), verifier.network, verifier.spikes
        call = served.signatures
        verifier.logits("logits", lambda x: call["encoded"](spikes=tf.constant(x))["logits"])
        if "trace" in call:
            verifier.compare("membranes", call["trace"](spikes=tf.constant(spikes))["mem"], network.encoded(spikes)[1])
        if "step" in call:
            verifier.logits("logits step by step", lambda x: _run_steps(call["step"], x, network.states))
        if "seeded" in call:
            verifier.seeded(asked_by(call["seeded"]))

    def run(self, folder, manifest):
        """Return a function that calls the signature `encoded`; see `Format.run`."""
        loaded = _load(folder)
        return lambda spikes: loaded.signatures["encoded"](spikes=tf.constant(spikes))["logits"].numpy()

    def ask(self, folder, manifest):
        """Return a function that calls the signature `seeded`; see `Format.ask`."""
        loaded = _load(folder)  # a signature does not keep its model alive
        return asked_by(lambda **given: loaded.signatures["seeded"](**given))


def _calls(network: Network) -> dict:
    """Return lines of Python that call the export, a request to TensorFlow Serving, and the line that starts it."""
    if network.encoder is None:
        takes, shape, body = "spikes", ("n", "T", *network.spike_features), '{"inputs": {"spikes": [...]}}'
        more = []
    else:
        takes, shape = "images", ("n", *network.features)
        body = '{"signature_name": "seeded", "inputs": {"images": [...], "seed": 7, "queries": 16}}'
        more = ["served.signatures['seeded'](images=images, seed=tf.constant(7, tf.int64), queries=tf.constant(16))"]
    lines = [
        "import tensorflow as tf",
        "served = tf.saved_model.load(FOLDER)",
        f"served.signatures['serving_default']({takes}={takes})  # float32 ({', '.join(map(str, shape))})",
        *more,
    ]
    curl = f"curl -d '{body}' http://HOST:8501/v1/models/NAME:predict"
    serving = "tensorflow_model_server --rest_api_port=8501 --model_name=NAME --model_base_path=BASE, "
    return {"python": lines, "curl": curl, "serving": serving + "with this folder as BASE/1"}


def _run_steps(step, spikes, states: dict[str, tuple[int, ...]]):
    """Return the logits after the last step."""
    out = {name: tf.zeros((len(spikes), *shape)) for name, shape in states.items()}
    logits = None
    for t in range(spikes.shape[1]):
        out = dict(step(spikes=tf.constant(spikes[:, t]), **out))
        logits = out.pop("logits")
    return logits


def _load(folder: Path):
    for path in (folder / "saved_model.pb", folder / "fingerprint.pb", *folder.glob("variables/*")):
        if not path.is_file() and os.path.lexists(path):  # TensorFlow would wait for a pipe, and read a device for ever
            raise InputError(f"{path} must be a file, it is a folder, a link to nothing, a pipe or a device")
    try:
        return tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises what it likes for damaged files
        raise InputError(f"{folder} cannot be loaded: {one_line(error)}") from None


def make_functions(network: Network) -> dict[str, tuple[Callable, dict[str, tf.TensorSpec]]]:
    """Return the functions that are served and the specifications of their inputs, by the name of the signature.

    A network without an encoder has none that takes images, one that cannot run step by step has no `step`.
    """

    def scores(spikes):
        logits, _ = network.encoded(spikes)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    def step(spikes, **states):
        logits, states = network.step(spikes, states)
        return {"logits": logits, **states}

    spikes = tf.TensorSpec((None, network.num_steps, *network.spike_features), tf.float32, name="spikes")
    functions = {"encoded": (scores, {"spikes": spikes})}
    if network.traced:
        functions["trace"] = (lambda spikes: {"mem": network.encoded(spikes)[1]}, {"spikes": spikes})
    if network.encoder is None:
        functions["serving_default"] = functions["encoded"]
    else:
        images = tf.TensorSpec((None, *network.features), tf.float32, name="images")

        def serving_default(images):
            logits = network.from_images(images, lambda x: fresh_spikes(network.encoder, x))
            return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

        seed, queries = tf.TensorSpec((), tf.int64, name="seed"), tf.TensorSpec((), tf.int32, name="queries")
        functions["serving_default"] = serving_default, {"images": images}
        functions["seeded"] = network.ask, {"images": images, "seed": seed, "queries": queries}
    if network.no_step is None:
        specs = {"spikes": tf.TensorSpec((None, *network.spike_features), tf.float32, name="spikes")}
        for name, shape in network.states.items():
            specs[name] = tf.TensorSpec((None, *shape), tf.float32, name=name)
        functions["step"] = step, specs
    return functions
