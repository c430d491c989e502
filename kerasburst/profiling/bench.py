"""`kerasburst bench`: what the works cost on this machine, against its limits."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from kerasburst import files, records
from kerasburst.data.datasets import availability
from kerasburst.profiling.inputs import make_inputs
from kerasburst.profiling.limit_rates import LimitMeter, LimitRates
from kerasburst.profiling.machine import available_cores, load_average, machine_facts
from kerasburst.profiling.measurement import Measurement
from kerasburst.profiling.together import BLOCK_S, SETTLE_S, Participant, measure_together
from kerasburst.profiling.works import DEFAULT_WORKS, WORKS
from kerasburst.validation import LARGEST, InputError, check_choice, check_int, user_path

CHOICES = tuple(name for name in WORKS if name != "limits")


@dataclasses.dataclass(frozen=True)
class BenchResult:
    """What `bench` measured.

    Args:
        machine: see `kerasburst.profiling.machine.machine_facts`.
        load_average_before: processes that wanted to run in the minute before; above 0.5 the figures are doubtful.
        limits: the machine's best rates during the run.
        measurements: one of each work, in the order asked for.
        inputs: by work, where its inputs come from.
    """

    machine: dict
    load_average_before: float | None
    limits: LimitRates
    measurements: tuple[Measurement, ...]
    inputs: dict[str, str]


def bench(
    works: Sequence[str] = DEFAULT_WORKS,
    *,
    repeats: int = 3,
    threads: int | None = None,
    num_steps: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    data_dir: str | None = None,
    out: str | Path | None = None,
    block_s: float = BLOCK_S,
    settle_s: float = SETTLE_S,
    limit_scale: float = 1.0,
    tell: Callable[[str], None] = lambda text: None,
) -> BenchResult:
    """Measure works that need no other library, each in a process of its own.

    After warm-up a work runs `repeats` blocks of at least `block_s` seconds; its figure is the median over the
    blocks, with the quartiles as spread. The machine's best matrix and copy rates are measured between the works.

    Args:
        works: names in `kerasburst.profiling.works.WORKS`.
        repeats: blocks of each, at least 1.
        threads: threads of each process; None for all cores.
        num_steps: T; None for each work's own.
        batch_size: examples of a step; None for each work's own.
        seed: of inputs and weights.
        data_dir: folder of data files; None for KERASBURST_DATA.
        out: directory to write bench.json to, which must not hold one; None to write nothing.
        block_s: seconds that a block lasts at least.
        settle_s: seconds of rest before a block.
        limit_scale: the sides of the matrices that the limits are measured with, against the usual ones.
        tell: is given lines of progress.

    Returns:
        The result; a work that failed has None for figures, and the reason.

    Raises:
        InputError: for an unknown work, a number outside its range, or an `out` that holds a bench.json.

    Example:
        >>> result = bench(["encode_rate"], repeats=2, num_steps=2, batch_size=2, block_s=0.01, limit_scale=0.05)
        >>> len(result.measurements[0].block_step_ms), result.measurements[0].reason
        (2, None)
    """
    works = list(dict.fromkeys(check_choice("work", work, CHOICES) for work in works))
    check_int("repeats", repeats, low=1, high=LARGEST)
    threads = available_cores() if threads is None else check_int("threads", threads, low=1, high=1024)
    for name, value in (("num_steps", num_steps), ("batch_size", batch_size)):
        if value is not None:
            check_int(name, value, low=1, high=LARGEST)
    check_int("seed", seed, low=0, high=LARGEST)
    availability("mnist", data_dir)  # a folder that is none is found now
    if out is not None:
        out = user_path("out", out)
        if (out.exists() and not out.is_dir()) or (out / "bench.json").exists():
            raise InputError(f"out must be a directory without a bench.json, {out} is not")
    machine, load = machine_facts(), load_average()
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
                one = Participant("kerasburst", work, options)
                how = {"repeats": repeats, "settle_s": settle_s, "tell": tell}
                (measurement,) = measure_together([one], block_s=block_s, **how)
                measurements.append(measurement)
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
    """Give the options of the limits' worker: bfloat16 is measured where the processor has instructions for it."""
    bfloat16 = machine["bfloat16_instructions"] is not False
    return {"threads": threads, "num_steps": 1, "batch_size": 1, "scale": scale, "bfloat16": bfloat16}
