"""A worker that measures nothing: it says that a step takes so long, and writes down whose turn it was."""

import json
import os
import signal
import sys
import time

name, options, asked = "", {}, 0
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "build":
        name, options = request["work"], request["options"]
        answer = {"versions": {"fake": "1.0"}}
    elif request["do"] == "run":
        asked += 1
        if asked == options.get("fails_at"):
            print(json.dumps({"ok": False, "reason": "ValueError: not any more"}), flush=True)
            continue
        if asked == options.get("dies_at"):
            print("a line before\nout of luck", file=sys.stderr)
            sys.exit(3)
        if asked == options.get("killed_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        if asked == options.get("sleeps_at"):
            time.sleep(60)
        with open(options["log"], "a") as log:
            log.write(f"{name} {request['steps']}\n")
        answer = {"seconds": request["steps"] * options["step_s"], "extra_mj": 2.0}
    else:
        answer = {"peak_rss_mb": 12.5}
    print(json.dumps({"ok": True, **answer}), flush=True)
