"""Spiking neurons: the equation, a layer over sequences, a cell for RNNs."""

from kerasburst.neurons.adaptive_lif import AdaptiveLIF, AdaptiveLIFCell
from kerasburst.neurons.adex import AdEx, AdExCell
from kerasburst.neurons.base import Neuron
from kerasburst.neurons.cell import NeuronCell
from kerasburst.neurons.functional import lif_sequence, lif_step
from kerasburst.neurons.izhikevich import Izhikevich, IzhikevichCell
from kerasburst.neurons.layer import NeuronLayer
from kerasburst.neurons.leaky_integrator import LeakyIntegrator, LeakyIntegratorCell
from kerasburst.neurons.lif import LIF, LIFCell
from kerasburst.neurons.recurrent_lif import RecurrentLIF, RecurrentLIFCell
from kerasburst.neurons.synaptic import Synaptic, SynapticCell

__all__ = [
    "LIF",
    "AdEx",
    "AdExCell",
    "AdaptiveLIF",
    "AdaptiveLIFCell",
    "Izhikevich",
    "IzhikevichCell",
    "LIFCell",
    "LeakyIntegrator",
    "LeakyIntegratorCell",
    "Neuron",
    "NeuronCell",
    "NeuronLayer",
    "RecurrentLIF",
    "RecurrentLIFCell",
    "Synaptic",
    "SynapticCell",
    "lif_sequence",
    "lif_step",
]
