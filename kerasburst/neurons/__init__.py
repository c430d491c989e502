"""Spiking neurons: the equation, a layer over sequences, a cell for RNNs."""

from kerasburst.neurons.base import Neuron, NeuronCell, NeuronLayer
from kerasburst.neurons.functional import lif_sequence, lif_step
from kerasburst.neurons.lif import LIF, LIFCell

__all__ = ["LIF", "LIFCell", "Neuron", "NeuronCell", "NeuronLayer", "lif_sequence", "lif_step"]
