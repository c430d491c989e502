"""The process that does a work: asked over a pipe to build it, to run a block of steps, to report its peak memory.

One line of JSON in, one out (`kerasburst.process`). Between requests the process waits on the pipe and costs nothing,
so warm processes can take turns. What libraries print goes to stderr. TensorFlow is loaded with the first work.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import traceback
from collections.abc import Callable

from kerasburst.profiling.gpu import find_gpu
from kerasburst.profiling.host import peak_rss_mb
from kerasburst.profiling.metrics import Unknown
from kerasburst.profiling.works import builder
from kerasburst.validation import one_line
from kerasburst.version import __version__

LEAST_ENERGY_S = 5.0  # of a block: energy counters move every 20 to 100 ms


def main() -> None:
    """Answer until the pipe closes."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    run = None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if request["do"] == "build":
                run = _build(request["work"], request["options"])
                energy = _Energy(request["options"]["batch_size"])
                answer = {"versions": _versions()}
            elif request["do"] == "run":
                answer = energy.during(run, request["steps"])
            elif request["do"] == "peak":
                answer = {"peak_rss_mb": peak_rss_mb(), "device_peak_mb": _device_peak_mb() if run else None}
            else:
                raise ValueError(f"do must be build, run or peak, received {request['do']}")
            answer = {"ok": True, **answer}
        except Exception as error:
            traceback.print_exc()
            answer = {"ok": False, "reason": one_line(f"{type(error).__name__}: {error}", 300)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    os._exit(0)  # a training may still wait in its thread


def _build(work: str, options: dict) -> Callable[[int], dict]:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(options["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(options["threads"])
    return builder(work)(options)


def _device_peak_mb() -> float | None:
    from kerasburst import backend

    return backend.device_peak_mb()


class _Energy:
    """The GPU's energy over a block, where there is a GPU with a counter and the block lasts long enough."""

    def __init__(self, batch_size: int):
        self._batch_size, self._gpu = batch_size, find_gpu()

    def during(self, run: Callable[[int], dict], steps: int) -> dict:
        """Return what `run(steps)` answers, with "gpu_w" and "gpu_mj_per_example" of the whole board."""
        before = self._read()
        answer = run(steps)
        after, seconds = self._read(), answer["seconds"]
        if before is None or after is None or seconds < LEAST_ENERGY_S:
            return answer
        examples = answer.get("steps", steps) * self._batch_size
        return {
            **answer,
            "gpu_w": round((after - before) / seconds, 2),
            "gpu_mj_per_example": round(1000 * (after - before) / examples, 5),
        }

    def _read(self) -> float | None:
        if isinstance(self._gpu, Unknown):
            return None
        try:
            return self._gpu.energy_j()
        except self._gpu.errors:
            return None


def _versions() -> dict[str, str]:
    libraries = dict.fromkeys((os.environ["KERAS_BACKEND"], "tensorflow", "keras", "numpy"))
    return {"kerasburst": __version__, **{name: importlib.metadata.version(name) for name in libraries}}


if __name__ == "__main__":
    main()
