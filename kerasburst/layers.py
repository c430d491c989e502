"""Every layer and network of kerasburst: importing this registers them with Keras, which then reads our files."""

import kerasburst.encoders.delayed_burst
import kerasburst.encoders.poisson_burst
import kerasburst.encoders.rate
import kerasburst.models.snn_conv_net
import kerasburst.models.snn_fc_net
import kerasburst.neurons.lif
import kerasburst.neurons.lif_cell  # noqa: F401
