"""SpikingJelly 2.0 as its documents advise for speed: multi-step mode, on a CPU its torch backend.

All layers take `(time, batch, ...)`; stateless layers go through `SeqToANNContainer`, which folds time into the
batch; neurons are in step mode "m"; `functional.reset_net` comes after every batch; `detach_reset=True` as the
documents recommend. With `decay_input=False`, `v_reset=None` (subtraction) and tau = 1 / (1 - beta):

    h[t] = beta v[t-1] + current[t],   spk[t] = h[t] >= threshold,   v[t] = h[t] - threshold spk[t]

The reset comes at once and decays with the rest, so that a spike lowers the next h by beta * threshold, where
kerasburst and snnTorch lower it by the threshold; at beta = 1 they are equal. The logits are v of the last step.
"""

import common
from spikingjelly.activation_based import functional, layer, surrogate
from spikingjelly.activation_based import neuron as neurons
from torch import nn


def make_neuron(options):
    """Return a LIF neuron of kerasburst's parameters."""
    decay = 1.0 - options["beta"]
    return neurons.LIFNode(
        tau=1.0 / decay if decay > 0 else 1e9,
        decay_input=False,
        v_threshold=1.0,
        v_reset=None,
        surrogate_function=surrogate.ATan(alpha=2.0),
        detach_reset=True,
        step_mode="m",
    )


class ConvNet(nn.Module):
    """SNNConvNet; `lif` in place of both ReLUs where asked."""

    def __init__(self, options, lif=False):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        self.hidden, self.output = nn.Linear(64 * 7 * 7, 1000), nn.Linear(1000, 10)
        folded = layer.SeqToANNContainer
        if lif:
            synapses = [
                *(folded(self.conv1), make_neuron(options), folded(nn.MaxPool2d(2), self.conv2)),
                *(make_neuron(options), folded(nn.MaxPool2d(2), nn.Flatten(), self.hidden)),
            ]
        else:
            stages = (self.conv1, nn.ReLU(), nn.MaxPool2d(2), self.conv2, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
            synapses = [folded(*stages, self.hidden)]
        self.last = make_neuron(options)
        self.net = nn.Sequential(*synapses, make_neuron(options), folded(self.output), self.last)

    def logits(self, spikes, before_reset=False):
        """Return the output neurons' membrane at the last step."""
        return _last_membrane(self.net, self.last, spikes, before_reset)


class FCNet(nn.Module):
    """SNNFCNet."""

    def __init__(self, options):
        super().__init__()
        self.hidden, self.output = nn.Linear(30, 1000), nn.Linear(1000, 2)
        self.last = make_neuron(options)
        folded = layer.SeqToANNContainer
        self.net = nn.Sequential(folded(self.hidden), make_neuron(options), folded(self.output), self.last)

    def logits(self, spikes, before_reset=False):
        """Return the output neurons' membrane at the last step."""
        return _last_membrane(self.net, self.last, spikes, before_reset)


def _last_membrane(net, last, spikes, before_reset):
    fired = net(spikes)[-1]
    mem = last.v
    functional.reset_net(net)
    return mem + fired.detach() if before_reset else mem  # the threshold is 1


def neuron(options):
    """Return the function from a current to the spikes of a neuron."""
    lif = make_neuron(options)

    def forward(current):
        spikes = lif(current)
        functional.reset_net(lif)
        return spikes

    return forward


if __name__ == "__main__":
    common.serve(
        "spikingjelly",
        {
            "conv_train": lambda options: common.training(ConvNet(options), options),
            "conv_lif_train": lambda options: common.training(ConvNet(options, lif=True), options),
            "conv_infer": lambda options: common.inference(ConvNet(options), options),
            "fc_train": lambda options: common.training(FCNet(options), options),
            "lif": lambda options: common.neuron_alone(neuron, options),
        },
        {"conv": ConvNet, "conv_lif": lambda options: ConvNet(options, lif=True), "fc": FCNet},
        neuron,
    )
