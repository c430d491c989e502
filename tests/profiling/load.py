"""A known load, watched: 500 MB for 2 seconds, here or in a child. Prints what was measured, and the truth."""

import json
import subprocess
import sys
import time

import psutil

from kerasburst import records
from kerasburst.profiling.profiler import Profiler

BYTES, SECONDS = 500_000_000, 2.0


def hold():
    begun = time.monotonic()
    block = b"\x01" * BYTES
    time.sleep(max(0.0, begun + SECONDS - time.monotonic()))
    return block  # to be given back after the region: that takes time, too


def hold_in_a_child():
    code = "import resource; from tests.profiling.load import hold; hold();"
    code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return int(out) * 1024  # Linux counts in KiB


def main(where):
    profiler = Profiler(idle_s=0.0)
    before = psutil.Process().memory_info().rss
    with profiler:
        begun = time.monotonic()
        held = hold() if where == "here" else hold_in_a_child()
        lasted = time.monotonic() - begun
    held = len(held) if where == "here" else held
    print(json.dumps({"before": before, "held": held, "lasted": lasted, **records.to_json(profiler.result)}))


if __name__ == "__main__":
    main(sys.argv[1])
