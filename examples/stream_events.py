"""Decide while events come: feed a recording, in real time, to the signature `step` of an exported network.

Run: python examples/stream_events.py [SERVED]

SERVED is a SavedModel of `kerasburst export` whose network takes steps of 16 x 16 x 2. Without one, a network is
trained on the moving digits and exported first, in about a minute.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import kerasburst as kb
import numpy as np
import tensorflow as tf
from kerasburst.data.moving_digits import SENSOR, simulated
from rich.live import Live
from rich.table import Table

STEP_US = 9_900  # ten steps in a recording of 99 ms


def train_and_export(folder: Path) -> Path:
    """Train on steps of a fixed duration, as a stream has them, and export."""
    config = kb.TrainConfig(dataset="moving_digits", encoding="none", data={"step_us": STEP_US}, epochs=12)
    print(f"training: {kb.train(config, folder / 'run').test_accuracy:.1%} of the test recordings are right")
    kb.export.export_run(folder / "run", folder / "served")
    return folder / "served"


def steps_of(recording: kb.Recording, step_us: int = STEP_US) -> Iterator[kb.Recording]:
    """Yield the events of each step of a stream, without those that come later."""
    ends = np.arange(step_us, recording.t[-1] - recording.t[0] + step_us + 1, step_us)
    places = np.searchsorted(recording.t - recording.t[0], ends)
    for begin, end in zip([0, *places[:-1]], places, strict=True):
        yield kb.Recording(*(column[begin:end] for column in (recording.t, recording.x, recording.y, recording.p)))


def frame_of(events: kb.Recording) -> np.ndarray:
    """Return the spikes of one step, `(1, height, width, 2)`."""
    frame = np.zeros((1, *SENSOR, 2), np.float32)
    frame[0, events.y, events.x, events.p] = 1
    return frame


class Decider:
    """A network that decides after each step; it keeps the state between them."""

    def __init__(self, served: Path):
        self._loaded = tf.saved_model.load(str(served))
        self._step = self._loaded.signatures["step"]
        inputs = self._step.structured_input_signature[1]
        self._rest = {name: tf.zeros((1, *spec.shape[1:])) for name, spec in inputs.items() if name != "spikes"}
        self.reset()
        self(np.zeros((1, *SENSOR, 2), np.float32))  # the first call of a graph takes longer than all others
        self.reset()

    def reset(self) -> None:
        """Begin a new recording."""
        self._state = self._rest

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Return the classes' probabilities after one more step."""
        out = self._step(spikes=tf.constant(frame), **self._state)
        self._state = {name: out[name] for name in self._rest}
        return tf.nn.softmax(out["logits"])[0].numpy()


def stream(
    decider: Decider, recording: kb.Recording, *, real_time: bool = True
) -> tuple[list[np.ndarray], list[float]]:
    """Feed a recording step by step and show each decision; return the probabilities and the latencies in ms."""
    found, latencies = [], []
    table = Table("time", "events", "decision", "probability", "latency")
    decider.reset()
    begun = time.perf_counter()
    with Live(table, refresh_per_second=30) as live:
        for number, events in enumerate(steps_of(recording), 1):
            end = begun + number * STEP_US / 1e6
            if real_time:
                time.sleep(max(0.0, end - time.perf_counter()))
            complete = time.perf_counter()  # the step is over, its events are there
            probabilities = decider(frame_of(events))
            latencies.append(1e3 * (time.perf_counter() - complete))
            found.append(probabilities)
            best = int(probabilities.argmax())
            bar = "█" * round(20 * float(probabilities[best]))
            row = (f"{number * STEP_US / 1e3:.1f} ms", str(len(events.t)), str(best), bar, f"{latencies[-1]:.2f} ms")
            table.add_row(*row)
            live.refresh()
    return found, latencies


def main(served: str | None = None, recordings: int = 5, real_time: bool = True) -> dict[str, float]:
    """Stream some recordings; return the share that was right at the end, and the latency of decisions."""
    with tempfile.TemporaryDirectory() as folder:
        decider = Decider(Path(served) if served else train_and_export(Path(folder)))
    digits, labels = simulated()
    right, latencies = [], []
    for number in np.random.default_rng(0).choice(len(digits), recordings, replace=False):
        print(f"recording {number}, a {labels[number]}")
        found, took = stream(decider, digits[number], real_time=real_time)
        right.append(found[-1].argmax() == labels[number])
        latencies += took
    median, p95 = np.percentile(latencies, [50, 95])
    print(
        f"{sum(right)} of {recordings} right; latency of a decision: median {median:.2f} ms, 95 % within {p95:.2f} ms"
    )
    return {"accuracy": float(np.mean(right)), "latency_ms": float(median), "latency_p95_ms": float(p95)}


if __name__ == "__main__":
    main(*sys.argv[1:2])
