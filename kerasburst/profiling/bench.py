"""`kerasburst bench`: the cost of the works on this machine, against its limits."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from kerasburst import files, records
from kerasburst.data.datasets import availability
from kerasburst.process import WorkerFailed
from kerasburst.profiling.gpu import gpu_facts
from kerasburst.profiling.host import available_cores, load_average, machine_facts
from kerasburst.profiling.measurement import BLOCK_S, SETTLE_S, Measurement, Participant, measure_together
from kerasburst.profiling.works import DEFAULT_WORKS, WORKS, make_inputs
from kerasburst.validation import (
    LARGEST,
    MOST,
    InputError,
    check_backend,
    check_choice,
    check_float,
    check_installed,
    check_int,
    user_path,
)

CHOICES = tuple(name for name in WORKS if name != "limits")


@dataclasses.dataclass(frozen=True)
class LimitRates:
    """The machine's best rates in a run; None where a rate is unknown.

    Args:
        matmul_float32_gflop_per_s: matrix multiplication, the best of several shapes.
        matmul_bfloat16_gflop_per_s: the same in bfloat16, where the processor has instructions for it.
        copy_gb_per_s: memory copy, bytes read and bytes written.
        samples: measurements of each.
        lowest_share_percent: the slowest measurement in percent of the best, of the float32 multiplication; below
            about 90 the machine had other work, or changed its clock.
        reason: why a rate is unknown.
    """

    matmul_float32_gflop_per_s: float | None = None
    matmul_bfloat16_gflop_per_s: float | None = None
    copy_gb_per_s: float | None = None
    samples: int = 0
    lowest_share_percent: float | None = None
    reason: str | None = None

    @classmethod
    def best_of(cls, answers: Sequence[dict], reason: str | None = None) -> LimitRates:
        """Return the best of the limits' worker's answers over a run.

        Example:
            >>> rates = LimitRates.best_of([{"copy_gb_per_s": 20.0}, {"copy_gb_per_s": 25.0}])
            >>> rates.copy_gb_per_s, rates.matmul_float32_gflop_per_s
            (25.0, None)
        """

        def all_of(name: str) -> list[float]:
            return [answer[name] for answer in answers if name in answer]

        names = ("matmul_float32_gflop_per_s", "matmul_bfloat16_gflop_per_s", "copy_gb_per_s")
        best = {name: round(max(all_of(name)), 2) for name in names if all_of(name)}
        products = all_of(names[0])
        share = round(100.0 * min(products) / max(products), 1) if products else None
        return cls(**best, samples=len(answers), lowest_share_percent=share, reason=reason)

    def limit_ms(self, work: str, batch_size: int, num_steps: int) -> float | None:
        """Return the least time of a step of a work at these rates, milliseconds; None where it is unknown.

        Example:
            >>> LimitRates(copy_gb_per_s=25.0).limit_ms("lif", 128, 10)  # 5 x 128,450,560 bytes
            25.6901
        """
        info = WORKS[work]
        if info.limit is None:
            return None
        rate = {
            "matmul_float32": self.matmul_float32_gflop_per_s,
            "matmul_bfloat16": self.matmul_bfloat16_gflop_per_s,
            "copy": self.copy_gb_per_s,
        }[info.limit]
        return None if rate is None else round(info.amount(batch_size, num_steps) / rate / 1e6, 4)


class LimitMeter:
    """A live process that measures the machine's rates from time to time during a run.

    Args:
        options: "threads"; "bfloat16", whether to measure that too; "scale", a factor of the matrices' sides.
    """

    def __init__(self, options: dict):
        self._answers: list[dict] = []
        self._reason: str | None = None
        self._worker = None
        try:
            self._worker = Participant("limits", "limits", options).start()
            self._worker.ask("build", work="limits", options=options)
            self._worker.ask("run", steps=1)
        except WorkerFailed as error:
            self._reason = str(error)

    def measure(self) -> LimitRates:
        """Measure once more; return the best so far."""
        if self._reason is None:
            try:
                self._answers.append(self._worker.ask("run", steps=1))
            except WorkerFailed as error:
                self._reason = str(error)
        return LimitRates.best_of(self._answers, self._reason)

    def close(self) -> None:
        """End the process."""
        if self._worker is not None:
            self._worker.end()


@dataclasses.dataclass(frozen=True)
class BenchResult:
    """The result of `bench`.

    Args:
        machine: see `kerasburst.profiling.host.machine_facts`; "gpu" has the GPU's name, uuid and driver, or is None.
        load_average_before: load of the machine in the minute before; above 0.5 the figures are doubtful.
        limits: the machine's best rates during the run.
        measurements: one per work and backend, in the order requested.
        inputs: by work, the source of its inputs.
    """

    machine: dict
    load_average_before: float | None
    limits: LimitRates
    measurements: tuple[Measurement, ...]
    inputs: dict[str, str]


def bench(
    works: Sequence[str] = DEFAULT_WORKS,
    *,
    backends: Sequence[str] = (),
    repeats: int = 3,
    threads: int | None = None,
    num_steps: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    data_dir: str | Path | None = None,
    out: str | Path | None = None,
    block_s: float = BLOCK_S,
    settle_s: float = SETTLE_S,
    limit_scale: float = 1.0,
    tell: Callable[[str], None] = lambda text: None,
) -> BenchResult:
    """Measure how fast layers, networks and encoders run, each task in a process of its own.

    After a warm-up a task runs `repeats` blocks of at least `block_s` seconds; its figure is the median over the
    blocks, with the quartiles as spread. The machine's best matrix and copy rates are measured between the tasks.

    Args:
        works: names in `kerasburst.profiling.works.WORKS`.
        backends: of Keras, "tensorflow", "jax" or "torch"; several take turns at each work. Default: the one in use.
        repeats: blocks of each work, at least 1.
        threads: threads of each process; None for all cores.
        num_steps: T; None for each work's own.
        batch_size: examples of a step; None for each work's own.
        seed: of inputs and weights.
        data_dir: folder of data files; None for KERASBURST_DATA.
        out: directory for bench.json, without one so far; None to write nothing.
        block_s: least length of a block, seconds.
        settle_s: seconds of rest before a block.
        limit_scale: factor of the sides of the matrices that the limits are measured with.
        tell: receives lines of progress.

    Returns:
        The result; the figures of a work that failed are None, with the reason.

    Raises:
        InputError: for an unknown work, a backend that is not installed, a number outside its range, or an `out` that
            holds a bench.json.

    Example:
        >>> result = bench(["encode_rate"], repeats=2, num_steps=2, batch_size=2, block_s=0.01, limit_scale=0.05)
        >>> len(result.measurements[0].block_step_ms), result.measurements[0].reason
        (2, None)
    """
    works = list(dict.fromkeys(check_choice("work", work, CHOICES) for work in works))
    backends = list(dict.fromkeys(check_installed("backends", name) for name in backends)) or [check_backend()]
    check_int("repeats", repeats, low=1, high=MOST)
    threads = available_cores() if threads is None else check_int("threads", threads, low=1, high=1024)
    for name, value in (("num_steps", num_steps), ("batch_size", batch_size)):
        if value is not None:
            check_int(name, value, low=1, high=LARGEST)
    check_int("seed", seed, low=0, high=LARGEST)
    availability("mnist", data_dir)  # refuse a missing folder now
    check_float("block", block_s, low=0.0, high=3600.0)
    if out is not None:
        out = user_path("out", out)
        files.check_directory("out", out)
        if (out / "bench.json").exists():
            raise InputError(f"out must be a directory without a bench.json, {out} is not")
    machine, load = {**machine_facts(), "gpu": gpu_facts()}, load_average()
    labels = {name: "kerasburst" if name == "tensorflow" else f"kerasburst on {name}" for name in backends}
    measurements, origins = [], {}
    with tempfile.TemporaryDirectory() as folder:
        meter = LimitMeter(limit_options(machine, threads, limit_scale))
        try:
            for work in works:
                info = WORKS[work]
                size = {"batch_size": batch_size or info.batch_size, "num_steps": num_steps or info.num_steps}
                path = f"{folder}/{info.inputs}-{work}.npz"
                meter.measure()
                origins[work] = make_inputs(info.inputs, path, **size, seed=seed, data_dir=data_dir)
                options = {**size, "threads": threads, "inputs": path, "seed": seed}
                turns = [Participant(labels[name], work, options | {"backend": name}) for name in backends]
                how = {"repeats": repeats, "settle_s": settle_s, "tell": tell}
                measurements += measure_together(turns, block_s=block_s, **how)
                Path(path).unlink()
            limits = meter.measure()
        finally:
            meter.close()
    result = BenchResult(
        machine=machine,
        load_average_before=load,
        limits=limits,
        measurements=tuple(m.against(limits.limit_ms(m.work, m.batch_size, m.num_steps)) for m in measurements),
        inputs=origins,
    )
    if out is not None:
        with files.new_directory("out", out):
            files.write_json(out / "bench.json", records.to_json(result))
    return result


def limit_options(machine: dict, threads: int, scale: float) -> dict:
    """Return the options of the limits' worker: bfloat16 is measured where the processor has instructions for it."""
    bfloat16 = machine["bfloat16_instructions"] is not False
    return {"threads": threads, "num_steps": 1, "batch_size": 1, "scale": scale, "bfloat16": bfloat16}
