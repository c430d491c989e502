"""snnTorch 1.0 as its tutorials 5 and 6 use it: one call of the network for each time step.

The convolutional network is tutorial 6's: `torch.nn.Sequential` with `Leaky(init_hidden=True)`, `utils.reset` before
every batch. The small network and the neuron alone hand the membrane on by themselves, as tutorial 5 does.

    mem[t] = beta mem[t-1] + current[t] - threshold spk[t-1],   spk[t] = mem[t] > threshold

which is kerasburst's equation step for step, the default surrogate (arctangent, alpha 2) included.
"""

import time

import common
import numpy as np
import snntorch
import torch
from snntorch import spikegen, utils
from torch import nn


class ConvNet(nn.Module):
    """SNNConvNet; `lif` in place of both ReLUs where asked."""

    def __init__(self, options, lif=False):
        super().__init__()
        beta = options["beta"]

        def activation():
            return snntorch.Leaky(beta=beta, init_hidden=True) if lif else nn.ReLU()

        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        self.hidden, self.output = nn.Linear(64 * 7 * 7, 1000), nn.Linear(1000, 10)
        self.net = nn.Sequential(
            *(self.conv1, activation(), nn.MaxPool2d(2), self.conv2, activation(), nn.MaxPool2d(2), nn.Flatten()),
            *(self.hidden, snntorch.Leaky(beta=beta, init_hidden=True)),
            *(self.output, snntorch.Leaky(beta=beta, init_hidden=True, output=True)),
        )

    def logits(self, spikes, before_reset=False):
        """Return the output neurons' membrane at the last step; the reset comes a step later in any case."""
        utils.reset(self.net)
        for now in spikes:
            _, mem = self.net(now)
        return mem


class FCNet(nn.Module):
    """SNNFCNet."""

    def __init__(self, options):
        super().__init__()
        self.hidden, self.output = nn.Linear(30, 1000), nn.Linear(1000, 2)
        self.lif1, self.lif2 = snntorch.Leaky(beta=options["beta"]), snntorch.Leaky(beta=options["beta"])

    def logits(self, spikes, before_reset=False):
        """Return the output neurons' membrane at the last step."""
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        for now in spikes:
            spk1, mem1 = self.lif1(self.hidden(now), mem1)
            _, mem2 = self.lif2(self.output(spk1), mem2)
        return mem2


def neuron(options):
    """Return the function from a current to the spikes of a neuron."""
    lif = snntorch.Leaky(beta=options["beta"])

    def forward(current):
        mem, spikes = lif.reset_mem(), []
        for now in current:
            spk, mem = lif(now, mem)
            spikes.append(spk)
        return torch.stack(spikes)

    return forward


def encode_rate(options):
    """Rate coding by `spikegen.rate`."""
    with np.load(options["inputs"]) as file:
        x = torch.from_numpy(np.ascontiguousarray(file["x"].transpose(0, 3, 1, 2)))

    def run(steps):
        begun = time.perf_counter()
        for _ in range(steps):
            spikegen.rate(x, num_steps=options["num_steps"])
        return {"seconds": time.perf_counter() - begun}

    return run


if __name__ == "__main__":
    common.serve(
        "snntorch",
        {
            "conv_train": lambda options: common.training(ConvNet(options), options),
            "conv_lif_train": lambda options: common.training(ConvNet(options, lif=True), options),
            "conv_infer": lambda options: common.inference(ConvNet(options), options),
            "fc_train": lambda options: common.training(FCNet(options), options),
            "lif": lambda options: common.neuron_alone(neuron, options),
            "encode_rate": encode_rate,
        },
        {"conv": ConvNet, "conv_lif": lambda options: ConvNet(options, lif=True), "fc": FCNet},
        neuron,
    )
