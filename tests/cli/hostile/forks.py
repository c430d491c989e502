"""Run the command many times, each in a fork of a process that has imported all it needs.

`python -m tests.cli.hostile.forks` reads a line of JSON for each call and answers with one: exit code, output, and
whether it had to be killed.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

LIMIT_S = float(os.environ.get("KERASBURST_HOSTILE_LIMIT_S", "120"))  # of one call, on a machine that does other things


class Forks:
    """The process that forks, as its starter sees it."""

    def __init__(self, environment):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.hostile.forks"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def call(self, arguments, folder, limit_s=LIMIT_S):
        """Run the command in `folder`; return `code`, `out`, `err`, `seconds` and `hung`."""
        request = {"arguments": [str(each) for each in arguments], "folder": str(folder), "limit_s": limit_s}
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _serve():
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    import importlib

    from kerasburst_cli.main import COMMANDS
    from kerasburst_cli.running import load_tensorflow

    load_tensorflow()
    for module, _ in COMMANDS.values():
        importlib.import_module(module)
    for module in (
        *("export.exporting", "export.predicting", "paper.study", "privacy.audit", "profiling.study"),
        *("reports.collection", "reports.encoding", "studies.sweep.study", "studies.transfer.study", "layers"),
    ):
        importlib.import_module(f"kerasburst.{module}")
    while line := sys.stdin.buffer.readline():
        os.write(answers, json.dumps(_answer(json.loads(line))).encode() + b"\n")


def _answer(request):
    out, err = os.memfd_create("out"), os.memfd_create("err")
    begun = time.monotonic()
    pid = os.fork()
    if pid == 0:
        code = 70
        with contextlib.suppress(BaseException):
            os.setsid()
            os.chdir(request["folder"])
            os.dup2(out, 1)
            os.dup2(err, 2)
            code = _run(request["arguments"])
        os._exit(code)
    status, hung = None, False
    while status is None:
        done, found = os.waitpid(pid, os.WNOHANG)
        if done:
            status = found
        elif time.monotonic() - begun > request["limit_s"]:
            hung = True
            os.killpg(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        else:
            time.sleep(0.002)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # whatever it started
    texts = []
    for handle in (out, err):
        os.lseek(handle, 0, os.SEEK_SET)
        texts.append(os.read(handle, 1 << 20).decode(errors="replace"))
        os.close(handle)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "out": texts[0], "err": texts[1], "hung": hung, "seconds": time.monotonic() - begun}


def _run(arguments):
    from kerasburst_cli.main import main

    try:
        main(arguments)
    except SystemExit as error:
        return error.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    _serve()
