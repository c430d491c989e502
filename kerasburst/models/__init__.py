"""Spiking networks: from spikes (or intensities, with an encoder inside) to logits."""

from kerasburst.models.base import SpikingNetwork
from kerasburst.models.snn_conv_net import SNNConvNet
from kerasburst.models.snn_fc_net import SNNFCNet

__all__ = ["SNNConvNet", "SNNFCNet", "SpikingNetwork"]
