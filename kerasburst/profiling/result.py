"""The result of a profile: what each encoding costs, over all repeats."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from kerasburst.profiling.measurement import paired_ratios, quartiles

# Figures of all passes together, which are divided by their number; the others are of the region as it is.
PER_PASS = ("wall_s", "cpu_time_s", "gpu_energy_j", "gpu_energy_above_idle_j", "cpu_package_energy_j")
OF_REGION = (
    *("peak_rss_mb", "gpu_power_w", "gpu_idle_power_w", "gpu_peak_mb", "gpu_nvml_peak_mb", "gpu_utilisation_percent"),
    *("cpu_package_power_w", "cpu_package_idle_power_w"),
)
COUNTED = (
    *("dense_macs_per_sample", "effective_acs_per_sample", "effective_macs_per_sample"),
    "energy_estimate_j_per_sample",
)
# Energies of a pass over its examples.
PER_SAMPLE = {name: f"{name}_per_sample" for name in ("gpu_energy_j", "gpu_energy_above_idle_j")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodingProfile:
    """The figures of one encoding; in JSON `figures` stand at the top, by their names.

    Args:
        figures: median over the repeats by field, or the count of the trained network; None where it is unknown. A
            pass is an epoch of training, or once over the test examples. wall_s, cpu_time_s and the energies are of
            one pass, gpu_energy_j_per_sample and gpu_energy_above_idle_j_per_sample of one example. samples_per_s:
            examples a second. peak_rss_mb: peak memory of the process tree over the
            measured passes; peak_rss_increase_mb: its part beyond libraries and data. The others are in
            `RegionProfile` and `NetworkCost`.
        spread: by measured field, first and third quartile of the repeats.
        values: by measured field, each repeat's.
        ratios: by baseline and field, first quartile, median and third quartile of the ratio to the baseline, paired
            by repeat; above 1 this encoding takes more.
        reasons: by field, why it is None.
        method: by field, how it was measured.
        passes: number of passes of each measurement, by repeat.
        examples: of a pass.
        gpu: name, uuid and driver; None where there is none.
        evaluation: accuracy of the trained network on test examples, see `Evaluation`.
        cost: its counts by layer, size and firing rates, see `NetworkCost`.
        encoding: its name.
        feed: "pipeline", or "encoded" where the examples were encoded before the measurement.
    """

    figures: dict[str, float | None]
    spread: dict[str, tuple[float, float]]
    values: dict[str, tuple[float, ...]]
    reasons: dict[str, str]
    method: dict[str, str]
    passes: tuple[int, ...]
    examples: int
    gpu: dict | None
    evaluation: dict
    cost: dict
    encoding: str
    feed: str
    ratios: dict[str, dict[str, tuple[float, float, float]]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of_measurements(cls, record: Mapping, measurements: Sequence[Mapping]) -> EncodingProfile:
        """Summarise what the tasks wrote; a figure that one repeat lacks is None, as its median is not comparable.

        Args:
            record: evaluation and cost of the trained network.
            measurements: one per repeat.
        """
        values, reasons, method = {}, {}, {}
        for name in (*PER_PASS, *OF_REGION):
            found = [m["region"][name] for m in measurements]
            lacking = [i for i, value in enumerate(found) if value is None]
            if lacking:
                reason = measurements[lacking[0]]["region"]["reasons"][name]
                part = "" if len(lacking) == len(found) else f"in {len(lacking)} of {len(found)} repeats: "
                reasons[name] = part + reason
                continue
            passes = [m["passes"] if name in PER_PASS else 1 for m in measurements]
            values[name] = tuple(value / n for value, n in zip(found, passes, strict=True))
            if name in measurements[0]["region"]["method"]:
                method[name] = measurements[0]["region"]["method"][name]
        for name, per_sample in PER_SAMPLE.items():
            if name in values:
                values[per_sample] = tuple(v / m["examples"] for v, m in zip(values[name], measurements, strict=True))
                method[per_sample] = f"{name} of a pass over its examples"
            else:
                reasons[per_sample] = reasons[name]
        values["samples_per_s"] = tuple(m["examples"] * m["passes"] / m["region"]["wall_s"] for m in measurements)
        if "peak_rss_mb" in values:
            values["peak_rss_increase_mb"] = tuple(
                peak - m["held_mb"] for peak, m in zip(values["peak_rss_mb"], measurements, strict=True)
            )
        figures = {name: quartiles(found)[1] for name, found in values.items()}
        return cls(
            figures={**figures, **dict.fromkeys(reasons), **{name: record["cost"][name] for name in COUNTED}},
            spread={name: (quartiles(found)[0], quartiles(found)[2]) for name, found in values.items()},
            values=values,
            reasons=reasons,
            method=method,
            passes=tuple(m["passes"] for m in measurements),
            examples=measurements[0]["examples"],
            gpu=measurements[0]["region"]["gpu"],
            evaluation=dict(record["evaluation"]),
            cost=dict(record["cost"]),
            encoding=measurements[0]["name"],
            feed=measurements[0].get("feed", "pipeline"),
        )

    def against(self, baselines: Mapping[str, EncodingProfile]) -> EncodingProfile:
        """Return a copy with the ratios to the baselines, by encoding, of the same feed.

        A field that either lacks has no ratio.
        """
        return dataclasses.replace(self, ratios={name: self._ratios(other) for name, other in baselines.items()})

    def _ratios(self, other: EncodingProfile) -> dict[str, tuple[float, float, float]]:
        ratios = {}
        for name, value in self.figures.items():
            mine, theirs = self.values.get(name, (value,)), other.values.get(name, (other.figures.get(name),))
            if None not in (*mine, *theirs) and all(v > 0 for v in theirs):
                ratios[name] = paired_ratios(mine, theirs)
        return ratios

    def to_json(self) -> dict:
        """Return the profile as JSON values, the figures at the top."""
        value = dataclasses.asdict(self)
        return {
            **value.pop("figures"),
            "accuracy": self.evaluation["accuracy"],
            "firing_rates": self.cost["firing_rates"],
            **value,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProfileResult:
    """The result of `profile`.

    Args:
        mode: "train" or "infer".
        pass_is: what one pass is, in words: the unit of times and of energies that are not per example.
        repeats: R.
        encodings: the figures of each, by name; of examples that were encoded before the measurement, by NAME/encoded.
        energy_source: where the energy estimate's constants are from.
        load_average_before: load of the machine in the minute before; above 0.5 the times are doubtful.
        data: name, note, fingerprint and sizes.
        machine: see `kerasburst.profiling.host.machine_facts`.
        versions: of kerasburst and the libraries below it.
        config: the profile's.
        trainings: by encoding, its training with every default filled in.
        seed: of splits, weights and spikes.
    """

    mode: str
    pass_is: str
    repeats: int
    encodings: dict[str, EncodingProfile]
    energy_source: str
    load_average_before: float | None
    data: dict
    machine: dict
    versions: dict[str, str]
    config: dict
    trainings: dict[str, dict]
    seed: int
