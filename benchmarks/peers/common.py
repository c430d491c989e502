"""Shared code of the peers' workers: the pipe, the inputs, the optimiser, the check. Needs only torch and numpy.

A worker reads one line of JSON and answers with one, as `kerasburst.profiling.worker` does: "build" a work, "run" a
block of steps, report its "peak" memory; and "check", which writes logits and gradients for given weights.
"""

import importlib.metadata
import json
import os
import sys
import time
import traceback

import numpy as np
import torch

LAYERS = ("conv1", "conv2", "hidden", "output")


def serve(package, builders, networks, neuron):
    """Answer until the pipe closes.

    Args:
        package: the library's name as installed.
        builders: by work's name, a function from options to `run(steps)`.
        networks: by network's name, a function from options to a `torch.nn.Module` with the layers `LAYERS`, or the
            last two of them, as attributes, and `logits(spikes)`.
        neuron: function from options to a function from a current `(time, batch, *features)` to spikes.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to stderr
    run = None
    for line in sys.stdin:
        request = json.loads(line)
        options = request.get("options", {})
        try:
            if request["do"] == "build":
                torch.set_num_threads(options["threads"])
                torch.manual_seed(options.get("seed", 0))
                run = builders[request["work"]](options)
                answer = {"versions": {n: importlib.metadata.version(n) for n in (package, "torch", "numpy")}}
            elif request["do"] == "run":
                answer = run(request["steps"])
            elif request["do"] == "peak":
                answer = {"peak_rss_mb": peak_rss_mb()}
            else:
                torch.set_num_threads(options["threads"])
                answer = check(options, networks, neuron)
            answer = {"ok": True, **answer}
        except Exception as error:
            traceback.print_exc()
            answer = {"ok": False, "reason": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def peak_rss_mb():
    """Return the process's peak memory in MB; None where the system does not tell."""
    try:
        with open("/proc/self/status") as status:
            return next(round(int(line.split()[1]) * 1024 / 1e6, 1) for line in status if line.startswith("VmHWM:"))
    except OSError:
        return None


# Inputs -----------------------------------------------------------------------------------------


def time_major(array):
    """Return `(batch, time, *features)` as a float32 tensor `(time, batch, *features)`, images channels-first."""
    axes = [1, 0, *([4, 2, 3] if array.ndim == 5 else range(2, array.ndim))]
    return torch.from_numpy(np.ascontiguousarray(array.transpose(axes), dtype="float32"))


def spikes_and_labels(options):
    """Read one batch, time-major."""
    with np.load(options["inputs"]) as file:
        return time_major(file["spikes"]), torch.from_numpy(file["labels"])


# Works ------------------------------------------------------------------------------------------


def training(network, options):
    """Return the training step: Adam, softmax cross-entropy on the logits."""
    spikes, labels = spikes_and_labels(options)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    network.train()

    def run(steps):
        begun = time.perf_counter()
        for _ in range(steps):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(network.logits(spikes), labels)
            loss.backward()
            optimiser.step()
        loss.item()
        return {"seconds": time.perf_counter() - begun}

    return run


def inference(network, options):
    """Return the forward pass alone, without a tape."""
    spikes, _ = spikes_and_labels(options)
    network.eval()

    def run(steps):
        begun = time.perf_counter()
        with torch.no_grad():
            for _ in range(steps):
                network.logits(spikes)
        return {"seconds": time.perf_counter() - begun}

    return run


def neuron_alone(neuron, options):
    """Return the forward and backward pass of a neuron over feature maps, with a given gradient of the spikes."""
    with np.load(options["inputs"]) as file:
        current = time_major(file["current"])
    upstream = torch.roll(current, 1, dims=1)
    current.requires_grad_()
    forward = neuron(options)

    def run(steps):
        begun = time.perf_counter()
        for _ in range(steps):
            current.grad = None
            forward(current).backward(upstream)
        return {"seconds": time.perf_counter() - begun}

    return run


# Check ------------------------------------------------------------------------------------------


def check(options, networks, neuron):
    """Write logits and gradients for given weights, or a neuron's spikes, to a file.

    Weights are torch's: `(out, in, height, width)` and `(out, in)`, the hidden layer's inputs in channels-first order.
    """
    with np.load(options["inputs"]) as file:
        if options["what"] == "neuron":
            current = torch.from_numpy(np.ascontiguousarray(file["current"].transpose(1, 0, 2)))
            found = {"spikes": neuron(options)(current).detach().numpy().transpose(1, 0, 2)}
        else:
            network = networks[options["what"]](options)
            spikes, labels = spikes_and_labels(options)
            scale = getattr(network, "weight_scale", {})
            with np.load(options["weights"]) as weights, torch.no_grad():
                for layer in [name for name in LAYERS if hasattr(network, name)]:
                    for kind in ("weight", "bias"):
                        value = torch.from_numpy(weights[f"{layer}.{kind}"]) * scale.get(layer, 1.0)
                        getattr(getattr(network, layer), kind).copy_(value)
            logits = network.logits(spikes, before_reset=True)
            torch.nn.functional.cross_entropy(logits, labels).backward()
            found = {"logits": logits.detach().numpy()}
            for layer in [name for name in LAYERS if hasattr(network, name)]:
                found[layer] = getattr(network, layer).weight.grad.numpy()
    np.savez(options["out"], **found)
    return {}
