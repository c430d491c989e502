"""Leaky integrate-and-fire neurons: the equation, a cell for RNNs, a layer over sequences."""

from kerasburst.neurons.functional import lif_sequence, lif_step
from kerasburst.neurons.lif import LIF
from kerasburst.neurons.lif_cell import LIFCell

__all__ = ["LIF", "LIFCell", "lif_sequence", "lif_step"]
