"""Check that all libraries do the same work: same weights and input, then compare logits, gradients and spikes.

- snnTorch's equation is kerasburst's: logits and gradients agree for the same weights and input, at any T.
- SpikingJelly resets at once, so the reset decays: equal at beta = 1, with the membrane read before the reset.
- Norse also resets at once, and has no beta = 1: equal at T = 1.
- The neurons alone spike as the formulas in their scripts say, exactly, on numbers that float32 holds exactly.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from kerasburst.process import WorkerFailed
from kerasburst.profiling.measurement import start_worker
from kerasburst.profiling.works import make_inputs

_CONV = ("conv1", "conv2", "hidden", "output")
_FC = ("hidden", "output")

# network, library, beta, T: where the equations agree.
CASES = [
    *((what, "snntorch", 0.95, 10) for what in ("conv", "conv_lif", "fc")),
    *((what, "spikingjelly", 1.0, 10) for what in ("conv", "conv_lif", "fc")),
    *((what, "norse", 0.95, 1) for what in ("conv", "conv_lif", "fc")),
]
_GAIN = 4.0  # on the initial weights, so that the neurons spike within the first steps: a silent network proves nothing
_LEAST_RATE, _MOST_RATE = 0.02, 0.98

# Largest difference, of the largest logit and of a gradient's norm. A rounding that makes one neuron of the feature
# maps spike a step earlier is no other equation.
_TOLERANCE = {"conv": 1e-4, "fc": 1e-4, "conv_lif": 1e-2}


def check(commands: dict[str, tuple[str, ...]], threads: int) -> list[dict]:
    """Compare each available peer with kerasburst.

    Returns:
        One dict per comparison: "library", "what", "difference" (None where unknown), "allowed", "agrees", "reason".
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for what, library, beta, num_steps in CASES:
            if library in commands:
                rows.append(_network(what, library, beta, num_steps, commands[library], threads, Path(folder)))
        for library, rule in (("kerasburst", delayed), ("snntorch", delayed), *_AT_ONCE):
            if library in commands or library == "kerasburst":
                rows.append(_neuron(library, rule, commands.get(library), threads, Path(folder)))
    return rows


def delayed(current: np.ndarray, beta: float) -> np.ndarray:
    """Spikes of mem[t] = beta mem[t-1] + current[t] - spk[t-1], the threshold being 1; `(batch, time, n)`."""
    mem, spk, spikes = 0.0, 0.0, []
    for now in current.swapaxes(0, 1):
        mem = beta * mem + now - spk
        spk = (mem > 1.0).astype("float32")
        spikes.append(spk)
    return np.stack(spikes, axis=1)


def at_once(current: np.ndarray, beta: float) -> np.ndarray:
    """Spikes of h[t] = beta v[t-1] + current[t], v[t] = h[t] - spk[t]."""
    v, spikes = 0.0, []
    for now in current.swapaxes(0, 1):
        h = beta * v + now
        spk = (h > 1.0).astype("float32")
        v = h - spk
        spikes.append(spk)
    return np.stack(spikes, axis=1)


_AT_ONCE = (("spikingjelly", at_once), ("norse", at_once))


def _row(library: str, what: str, difference: float | None, allowed: float, reason: str | None = None) -> dict:
    agrees = difference is not None and difference <= allowed
    return {
        "library": library,
        "what": what,
        "difference": difference,
        "allowed": allowed,
        "agrees": agrees,
        "reason": reason,
    }


def _ask(command: tuple[str, ...], threads: int, out: Path, **options) -> dict[str, np.ndarray]:
    with start_worker(command, threads) as worker:
        worker.ask("check", options={"threads": threads, "out": str(out), **options})
    with np.load(out) as file:
        return dict(file)


def _neuron(library, rule, command, threads, folder) -> dict:
    """Odd multiples of 1/64 and beta = 3/4: eight steps are exact in float32, and no membrane meets the threshold."""
    rng = np.random.default_rng(0)
    current, beta = (2 * rng.integers(-20, 60, (4, 8, 50)) + 1).astype("float32") / 64, 0.75
    what = "spikes of a neuron, against the formula"
    try:
        if command is None:
            from kerasburst.neurons import lif_sequence

            spikes = lif_sequence(current, beta=beta)[0].numpy()
        else:
            np.savez(folder / "current.npz", current=current)
            files = {"inputs": str(folder / "current.npz"), "out": folder / "spikes.npz"}
            spikes = _ask(command, threads, **files, what="neuron", beta=beta)["spikes"]
    except WorkerFailed as error:
        return _row(library, what, None, 0.0, str(error))
    return _row(library, what, float(np.abs(spikes - rule(current, beta)).mean()), 0.0)


def _network(what, library, beta, num_steps, command, threads, folder) -> dict:
    name = f"{what}, beta = {beta:g}, T = {num_steps}: logits" + ("" if library == "norse" else " and gradients")
    allowed = _TOLERANCE[what]
    inputs = folder / f"{what}-{num_steps}.npz"
    make_inputs("table" if what == "fc" else "images", inputs, batch_size=4, num_steps=num_steps)
    ours = _kerasburst(what, beta, inputs, folder / "weights.npz")
    if not all(_LEAST_RATE < rate < _MOST_RATE for rate in ours["rates"]):
        return _row(
            library, name, None, allowed, f"neurons fire at {ours['rates']} spikes a step, which proves nothing"
        )
    try:
        files = {"inputs": str(inputs), "weights": str(folder / "weights.npz"), "out": folder / "found.npz"}
        theirs = _ask(command, threads, **files, what=what, beta=beta)
    except WorkerFailed as error:
        return _row(library, name, None, allowed, str(error))
    logits = np.abs(ours["logits"] - theirs["logits"]).max() / np.abs(ours["logits"]).max()
    differences = [float(logits)]
    if library != "norse":  # whose reset is not detached, and whose surrogate is another
        for layer in _FC if what == "fc" else _CONV:
            apart = np.linalg.norm(ours[layer] - theirs[layer]) / np.linalg.norm(ours[layer])
            differences.append(float(apart))
    return _row(library, name, max(differences), allowed)


def _kerasburst(what: str, beta: float, inputs: Path, weights: Path) -> dict[str, np.ndarray]:
    """Return kerasburst's logits and weight gradients in torch's layout, and write the weights in it."""
    import keras
    import tensorflow as tf

    from kerasburst.models import SNNConvNet, SNNFCNet

    with np.load(inputs) as file:
        spikes, labels = tf.constant(file["spikes"].astype("float32")), tf.constant(file["labels"])
    if what == "fc":
        network = SNNFCNet(2, beta=beta, seed=0)
    else:
        network = SNNConvNet(10, beta=beta, seed=0, conv_activation="lif" if what == "conv_lif" else "relu")
    network.build(spikes.shape)
    rng = np.random.default_rng(1)
    layers = {
        name: getattr(network, {"hidden": "hidden_dense", "output": "output_dense"}.get(name, name))
        for name in (_FC if what == "fc" else _CONV)
    }
    saved = {}
    for name, layer in layers.items():
        layer.kernel.assign(_GAIN * layer.kernel)
        layer.bias.assign(rng.uniform(-0.1, 0.1, layer.bias.shape))
        saved[f"{name}.weight"] = _as_torch(np.asarray(layer.kernel), name, what)
        saved[f"{name}.bias"] = np.asarray(layer.bias)
    np.savez(weights, **saved)
    with tf.GradientTape() as tape:
        logits = network(spikes, training=True)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)
    gradients = tape.gradient(loss, [layer.kernel.value for layer in layers.values()])
    found = {name: _as_torch(g.numpy(), name, what) for name, g in zip(layers, gradients, strict=True)}
    return {"logits": logits.numpy(), "rates": list(network.firing_rates(spikes).values())[1:-1], **found}


def _as_torch(kernel: np.ndarray, name: str, what: str) -> np.ndarray:
    if kernel.ndim == 4:
        return kernel.transpose(3, 2, 0, 1)
    if name == "hidden" and what != "fc":  # its inputs are 7 x 7 maps of 64 channels, ours channels-last
        return kernel.reshape(7, 7, 64, -1).transpose(3, 2, 0, 1).reshape(kernel.shape[1], -1)
    return kernel.T
