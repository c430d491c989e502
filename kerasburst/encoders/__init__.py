"""Encoders: from intensities in [0, 1] to spikes."""
