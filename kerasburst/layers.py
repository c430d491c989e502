"""Every layer and network of kerasburst: importing it lets Keras load our files."""

import kerasburst.losses
import kerasburst.models.encoded
import kerasburst.models.time_batch_normalization  # noqa: F401
from kerasburst.registry import ENCODERS, NETWORKS, NEURONS

for registry in (ENCODERS, NETWORKS, NEURONS):
    registry.import_builtin()
