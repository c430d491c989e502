"""Encoders: from intensities in [0, 1] to spikes."""

from kerasburst.encoders.base import Encoder
from kerasburst.encoders.delayed_burst import DelayedBurstEncoder
from kerasburst.encoders.poisson_burst import PoissonBurstEncoder
from kerasburst.encoders.rate import RateEncoder

__all__ = ["DelayedBurstEncoder", "Encoder", "PoissonBurstEncoder", "RateEncoder"]
