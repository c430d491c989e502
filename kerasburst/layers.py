"""Every layer and network of kerasburst: importing it lets Keras load our files."""

import kerasburst.encoders.delayed_burst
import kerasburst.encoders.direct
import kerasburst.encoders.event_burst
import kerasburst.encoders.latency
import kerasburst.encoders.none
import kerasburst.encoders.poisson_burst
import kerasburst.encoders.rate
import kerasburst.losses
import kerasburst.models.encoded
import kerasburst.models.recurrent_snn
import kerasburst.models.sew_resnet
import kerasburst.models.snn_conv_net
import kerasburst.models.snn_fc_net
import kerasburst.models.spiking_vgg
import kerasburst.models.time_batch_normalization
import kerasburst.neurons.adaptive_lif
import kerasburst.neurons.adex
import kerasburst.neurons.izhikevich
import kerasburst.neurons.leaky_integrator
import kerasburst.neurons.lif
import kerasburst.neurons.recurrent_lif
import kerasburst.neurons.synaptic  # noqa: F401
