"""Norse 1.1 as its documents use it: `SequentialState`, called for each time step passing the state on.

`LIFBoxCell` is its LIF neuron without a synaptic current, the nearest to kerasburst's and the cheaper one. With
k = dt / tau_mem = 1 - beta and reset by subtraction:

    h[t] = beta v[t-1] + k current[t],   spk[t] = h[t] > threshold,   v[t] = h[t] - threshold spk[t]

Like SpikingJelly's, the reset comes at once and decays with the rest. The current is scaled by k, hence the weights
of the layers that feed neurons begin 1 / k times as large. The reset is not detached, and the surrogate is Norse's
own, SuperSpike. The logits are v of the last step.
"""

import common
import norse.torch as norse
import torch
from norse.torch.functional.reset import reset_subtract
from torch import nn


def make_neuron(options, threshold=1.0):
    """Return a LIF neuron of kerasburst's decay."""
    parameters = norse.LIFBoxParameters(
        tau_mem_inv=torch.as_tensor(1.0 - options["beta"]),
        v_th=torch.as_tensor(threshold),
        reset_method=reset_subtract,
    )
    return norse.LIFBoxCell(parameters, dt=1.0)


class Network(nn.Module):
    """Layers in order, called step by step."""

    def __init__(self, options, layers, fed):
        super().__init__()
        self.weight_scale = dict.fromkeys(fed, 1.0 / (1.0 - options["beta"]))
        self.net = norse.SequentialState(*layers)

    def scale_weights(self):
        """Make up for the neurons' scaling of their current."""
        with torch.no_grad():
            for name, scale in self.weight_scale.items():
                getattr(self, name).weight.mul_(scale)
                getattr(self, name).bias.mul_(scale)

    def logits(self, spikes, before_reset=False):
        """Return the output neurons' membrane at the last step."""
        state = None
        for now in spikes:
            fired, state = self.net(now, state)
        return state[-1].v + fired.detach() if before_reset else state[-1].v  # the threshold is 1


class ConvNet(Network):
    """SNNConvNet; `lif` in place of both ReLUs where asked."""

    def __init__(self, options, lif=False):
        conv1, conv2 = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        hidden, output = nn.Linear(64 * 7 * 7, 1000), nn.Linear(1000, 10)

        def activation():
            return make_neuron(options) if lif else nn.ReLU()

        stages = [conv1, activation(), nn.MaxPool2d(2), conv2, activation(), nn.MaxPool2d(2), nn.Flatten()]
        layers = [*stages, hidden, make_neuron(options), output, make_neuron(options)]
        super().__init__(options, layers, ("conv1", "conv2", "hidden", "output") if lif else ("hidden", "output"))
        self.conv1, self.conv2, self.hidden, self.output = conv1, conv2, hidden, output
        self.scale_weights()


class FCNet(Network):
    """SNNFCNet."""

    def __init__(self, options):
        hidden, output = nn.Linear(30, 1000), nn.Linear(1000, 2)
        super().__init__(options, [hidden, make_neuron(options), output, make_neuron(options)], ("hidden", "output"))
        self.hidden, self.output = hidden, output
        self.scale_weights()


def neuron(options):
    """Return the function from a current to the spikes of a neuron; its threshold is k, since it scales the current."""
    cell = make_neuron(options, threshold=1.0 - options["beta"])

    def forward(current):
        state, spikes = None, []
        for now in current:
            spk, state = cell(now, state)
            spikes.append(spk)
        return torch.stack(spikes)

    return forward


if __name__ == "__main__":
    common.serve(
        "norse",
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
