"""A fleet that trains and measures nothing: it writes what the tasks of a profile would."""

import json
from pathlib import Path

from kerasburst.profiling.study import measurement_path, record_path

RUN_FLEET = "kerasburst.study.study.run_fleet"
UNKNOWN = (
    *("gpu_power_w", "gpu_energy_j", "gpu_idle_power_w", "gpu_energy_above_idle_j", "gpu_peak_mb", "gpu_nvml_peak_mb"),
    *("gpu_utilisation_percent", "cpu_package_power_w", "cpu_package_energy_j", "cpu_package_idle_power_w"),
)
CONV = {"name": "conv1", "input_is_spikes": True, "input_rate": 0.2, "dense_macs_per_step": 100, "effective_acs": 9000}
EVALUATION = {"accuracy": 0.9, "accuracy_interval": [0.8, 0.95], "examples": 40, "queries": 4}


def measurement(
    name, repeat, *, wall_s=2.0, passes=4, peak_rss_mb=900.0, held_mb=400.0, trace=None, feed=None, **known
):
    figures = dict.fromkeys(UNKNOWN) | {"wall_s": wall_s, "cpu_time_s": 3.0, "peak_rss_mb": peak_rss_mb} | known
    region = {
        **figures,
        "reasons": {field: "no GPU here" for field in UNKNOWN if figures[field] is None},
        "method": {"peak_rss_mb": "sampled"},
        "gpu": None,
        "power_trace": trace or {},
    }
    own = {"held_mb": held_mb, "passes": passes, "examples": 100, "region": region}
    return {"name": name, "repeat": repeat, **own} | ({} if feed is None else {"feed": feed})  # earlier versions: none


def record(acs=1000.0):
    macs, t = 2000.0, 10
    cost = {
        "examples": 40,
        "num_steps": t,
        "layers": [CONV],
        "firing_rates": {"input": 0.2, "hidden_lif": 0.1},
        "dense_macs_per_sample": 5000,
        "effective_acs_per_sample": acs,
        "effective_macs_per_sample": macs,
        "energy_estimate_j_per_sample": 1e-12 * (0.9 * acs + 4.6 * macs),
        "weight_bytes": 1234,
        "activity_bytes_per_step": 567,
        "energy_source": "Horowitz",
    }
    return {"evaluation": EVALUATION, "cost": cost}


class Pretend:
    """Stands in for `run_fleet`; notes the tasks that it was given and did."""

    def __init__(self, stop_after=None, **figures):
        self.asked, self.did = [], []
        self.stop_after, self.figures = stop_after, figures

    def __call__(self, tasks, *, is_done, log_dir, jobs=None, observer=None, **_):
        for task in tasks:
            self.asked.append(task.name)
            if is_done(task):
                continue
            if self.stop_after is not None and len(self.did) == self.stop_after:
                raise KeyboardInterrupt
            self._do(task.arguments)
            self.did.append(task.name)
        Path(log_dir).mkdir(exist_ok=True)
        self.jobs = jobs

    def _do(self, arguments):
        folder, name = Path(arguments["folder"]), arguments["name"]
        if "repeat" in arguments:
            feed, repeat = arguments["feed"], arguments["repeat"]
            path = measurement_path(folder, name, feed, repeat)
            content = measurement(name, repeat, feed=feed, **self.figures)
        else:
            path, content = record_path(folder, name), record()
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
