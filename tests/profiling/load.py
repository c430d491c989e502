"""A known load, profiled: 500 MB for 2 seconds, here and in a child. Prints what was measured, and the truth."""

import json
import subprocess
import sys
import time

BYTES, SECONDS = 500_000_000, 2.0


def hold():
    begun = time.monotonic()
    block = b"\x01" * BYTES
    time.sleep(max(0.0, begun + SECONDS - time.monotonic()))
    return block  # freed after the region: that takes time, too


def hold_in_a_child():
    code = "from tests.profiling.load import hold; hold(); print(open('/proc/self/status').read())"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return 1024 * int(out.partition("VmHWM:")[2].split()[0])  # Linux counts in KiB


def watched(work):
    import psutil

    from kerasburst import records
    from kerasburst.profiling.profiler import Profiler

    profiler = Profiler(idle_s=0.0)
    before = psutil.Process().memory_info().rss
    entered = time.monotonic()
    with profiler:
        begun = time.monotonic()
        held = work()
        lasted = time.monotonic() - begun
    around = time.monotonic() - entered
    held = held if isinstance(held, int) else len(held)
    return {"before": before, "held": held, "lasted": lasted, "around": around, **records.to_json(profiler.result)}


if __name__ == "__main__":
    print(json.dumps({"here": watched(hold), "child": watched(hold_in_a_child)}))
