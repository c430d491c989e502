"""Statistics of the spikes that an encoder makes of one example: over many draws, and in closed form."""

from __future__ import annotations

import dataclasses

import numpy as np
from keras import ops
from scipy import stats

from kerasburst.encoders.base import Encoder
from kerasburst.seeding import derive_seed
from kerasburst.validation import LARGEST, check_int, fail


@dataclasses.dataclass(frozen=True, eq=False)
class EncodingStatistics:
    """Spikes of one example.

    Args:
        x: its intensities `(*features)`; of data that is encoded already, its mean over time.
        spikes: one draw `(num_steps, *features)`, uint8; float32 where an encoder's outputs are no spikes.
        exact: P(spike), float32 `(num_steps, *features)`.
        empirical: share of draws with a spike, float32 `(num_steps, *features)`.
        draws: number of draws behind `empirical`.
    """

    x: np.ndarray
    spikes: np.ndarray
    exact: np.ndarray
    empirical: np.ndarray
    draws: int

    def to_json(self) -> dict:
        """Return the summary as JSON values."""
        deviation = np.abs(self.empirical - self.exact)
        spread = np.sqrt(np.maximum(self.exact * (1 - self.exact), 0) / self.draws)
        z = np.divide(deviation, spread, out=np.zeros_like(deviation), where=spread > 0)
        per_feature = self.empirical.sum(axis=0)
        return {
            "features": int(self.x.size),
            "num_steps": len(self.spikes),
            "draws": self.draws,
            "mean_intensity": float(self.x.mean()),
            "firing_rate": float(self.empirical.mean()),
            "firing_rate_exact": float(self.exact.mean()),
            "spikes_per_feature": float(per_feature.mean()),
            "spikes_per_feature_max": float(per_feature.max()),
            "silent_share": float((per_feature == 0).mean()),
            "firing_rate_by_step": [float(rate) for rate in self.empirical.reshape(len(self.spikes), -1).mean(1)],
            "largest_deviation": float(deviation.max()),
            "largest_deviation_in_standard_errors": float(z.max()),
            "p_value": self.p_value(),
        }

    def p_value(self) -> float | None:
        """Return how likely chance alone brings one of all probabilities as far from its exact value; at most 1.

        It is the smallest two-sided binomial p-value times their number (Bonferroni), which holds for dependent spikes,
        too; None where the outputs are no spikes.

        Example:
            >>> half = np.full((2, 1), 0.5, "float32")  # 4 of 4 draws have a spike: 2 / 16, twice
            >>> EncodingStatistics(half[0], np.ones((2, 1), "uint8"), half, half * 2, draws=4).p_value()
            0.25
        """
        if self.spikes.dtype != np.uint8:
            return None
        count, exact = np.rint(self.empirical.astype("float64") * self.draws), self.exact.astype("float64").clip(0, 1)
        below, above = stats.binom.cdf(count, self.draws, exact), stats.binom.sf(count - 1, self.draws, exact)
        return min(1.0, float(2 * np.minimum(below, above).min() * exact.size))


def encoding_statistics(encoder: Encoder, x: np.ndarray, *, draws: int = 200, seed: int = 0) -> EncodingStatistics:
    """Encode one example many times.

    Args:
        encoder: the encoder layer; its own seed is not used.
        x: intensities `(*features)` in [0, 1], or what the encoder takes.
        draws: at least 1.
        seed: int of at least 0.

    Example:
        >>> from kerasburst.encoders.rate import RateEncoder
        >>> statistics = encoding_statistics(RateEncoder(4, mode="regular"), np.array([0.5, 1.0]), draws=3)
        >>> statistics.to_json()["spikes_per_feature"], statistics.to_json()["largest_deviation"]
        (3.0, 0.0)
    """
    check_int("draws", draws, low=1, high=LARGEST)
    if np.size(x) == 0:
        raise fail("x", "one example with features", f"shape {np.shape(x)}")
    x = encoder.check(np.asarray(x)[None], "x")
    key = derive_seed(seed, "statistics")
    first = ops.convert_to_numpy(encoder.encode(x, (key, 0)))[0]
    total = np.zeros(first.shape)
    for draw in range(draws):
        total += ops.convert_to_numpy(encoder.encode(x, (key, draw)))[0]
    return EncodingStatistics(
        x=first.mean(axis=0) if encoder.encoded else ops.convert_to_numpy(x)[0],
        spikes=first,
        exact=ops.convert_to_numpy(encoder.probability(x))[0],
        empirical=(total / draws).astype("float32"),
        draws=draws,
    )
