"""Every layer and network of kerasburst: importing it lets Keras load our files."""

import kerasburst.encoders.delayed_burst
import kerasburst.encoders.latency
import kerasburst.encoders.poisson_burst
import kerasburst.encoders.rate
import kerasburst.models.snn_conv_net
import kerasburst.models.snn_fc_net
import kerasburst.neurons.lif  # noqa: F401
