"""Spiking networks: from spikes (or intensities, with an encoder inside) to logits."""

from kerasburst.models.base import SpikingNetwork
from kerasburst.models.recurrent_snn import RecurrentSNN
from kerasburst.models.sew_resnet import SEWResNet
from kerasburst.models.snn_conv_net import SNNConvNet
from kerasburst.models.snn_fc_net import SNNFCNet
from kerasburst.models.spiking_vgg import SpikingVGG

__all__ = ["RecurrentSNN", "SEWResNet", "SNNConvNet", "SNNFCNet", "SpikingNetwork", "SpikingVGG"]
