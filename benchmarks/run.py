"""Measure kerasburst against snnTorch, SpikingJelly and Norse: the table, the sweep, or the check.

    python benchmarks/run.py --peers VENV/bin/python --out results            # the table
    python benchmarks/run.py --peers VENV/bin/python --out results --sweep
    python benchmarks/run.py --peers VENV/bin/python --check

The method stands in benchmarks/README.md.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import click
import report
from kerasburst_cli.options import data_dir_option, parse_assignment
from plan import GROUPS, PEERS, QUICK
from sweep import lines, measure_point, point_json, points
from table import Settings, group_json, measure_group, measure_memory

from kerasburst import files, records
from kerasburst.data.datasets import availability
from kerasburst.profiling.bench import LimitMeter, limit_options
from kerasburst.profiling.host import available_cores, load_average, machine_facts
from kerasburst.validation import InputError, check_int, user_path

WORKS = (*GROUPS, "memory")
BUSY = 0.5  # a load above it, in the minute before, is somebody else's work
_SCRIPTS = Path(__file__).parent / "peers"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--peers", "python", help="Python of the environment that has the peers. Default: this one.")
@click.option("--peer", "chosen", type=click.Choice(PEERS), multiple=True, help="Repeatable. Default: all.")
@click.option("--no-peers", is_flag=True, help="kerasburst alone.")
@click.option("--works", type=click.Choice(WORKS), multiple=True, help="Rows of the table. Repeatable. Default: all.")
@click.option("--sweep", is_flag=True, help="Measure SNNConvNet's training step against T and batch size instead.")
@click.option("--check", "checking", is_flag=True, help="Compare logits, gradients and spikes instead, untimed.")
@click.option("--quick", is_flag=True, help="Tiny sizes and two blocks, to see that everything runs.")
@click.option("--repeats", type=int, help="Blocks of each. Default: 7, in the sweep 3.")
@click.option("--threads", type=int, help="Threads of each process. Default: all cores.")
@click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="model.NAME=VALUE",
    help="Measure kerasburst's networks again with a parameter set. Repeatable: each is a row of its own.",
)
@data_dir_option
@click.option("--out", type=click.Path(), default="runs/benchmarks", show_default=True, help="Directory to write to.")
def command(python, chosen, no_peers, works, sweep, checking, quick, repeats, threads, variants, data_dir, out):
    """Measure kerasburst against its peers, and write JSON, Markdown and a picture.

    Results are written after every row: what is done stays when the run is stopped. A peer that fails is null, with
    the reason, and the run goes on.
    """
    commands = {} if no_peers else _commands(python or sys.executable, chosen or PEERS)
    threads = available_cores() if threads is None else check_int("threads", threads, low=1, high=1024)
    if checking:
        sys.exit(_check(commands, threads))
    repeats = check_int("repeats", repeats, low=1) if repeats is not None else 2 if quick else 3 if sweep else 7
    availability("mnist", data_dir)  # a folder that is none is found now
    machine = machine_facts()
    settings = Settings(
        commands=commands,
        variants=dict(_variant(text) for text in variants),
        threads=threads,
        repeats=repeats,
        quick=quick,
        bfloat16=machine["bfloat16_instructions"],
        data_dir=data_dir,
    )
    out = user_path("--out", out)
    with files.new_directory("--out", out):
        run = Run(out, "sweep" if sweep else "table", machine, settings)
    try:
        run.sweep() if sweep else run.table(works or WORKS)
    except KeyboardInterrupt:
        run.stopped = "interrupted"
        raise
    finally:
        run.close()
    click.echo(run.markdown)
    click.echo(f"written to {out}", err=True)


class Run:
    """A run: what it has measured so far, and the files that say so."""

    def __init__(self, out: Path, kind: str, machine: dict, settings: Settings):
        self.stopped, self.markdown = None, ""
        self._out, self._kind, self._machine, self._settings = out, kind, machine, settings
        self._load, self._begun = load_average(), time.perf_counter()
        if self._load is not None and self._load > BUSY:
            self._tell(f"warning: the load is {self._load:g}; on a machine with other work the figures are worthless")
        self._groups, self._memory, self._points = [], None, []
        self._meter = LimitMeter(limit_options(machine, settings.threads, 0.1 if settings.quick else 1.0))
        self._limits = self._meter.measure()

    def table(self, works: tuple[str, ...]) -> None:
        """Measure the table's rows."""
        for name in dict.fromkeys(works):
            self._tell(f"== {name}")
            if name == "memory":
                self._memory = measure_memory(self._settings, self._tell)
            else:
                self._groups.append((name, *measure_group(GROUPS[name], self._settings, self._tell)))
            self._save()

    def sweep(self) -> None:
        """Measure the sweep's points."""
        for batch_size, num_steps in points(self._settings.quick):
            self._tell(f"== batch {batch_size}, T = {num_steps}")
            self._points.append(measure_point(batch_size, num_steps, self._settings, self._tell))
            self._save()

    def close(self) -> None:
        """Write what there is, and end the limits' process."""
        self._save(measure_limits=False)
        self._meter.close()

    def _save(self, measure_limits: bool = True) -> None:
        if measure_limits:
            self._limits = self._meter.measure()
        results = self._results()
        draw = report.sweep_figure if self._kind == "sweep" else report.table_figure
        write = report.sweep_markdown if self._kind == "sweep" else report.table_markdown
        files.write_json(self._out / f"{self._kind}.json", results)
        self.markdown = write(results)
        files.write_text(self._out / f"{self._kind}.md", self.markdown)
        with files.replacing(self._out / f"{self._kind}.png") as temporary:
            draw(results).savefig(temporary, dpi=120)

    def _results(self) -> dict:
        s = self._settings
        groups = [group_json(*group, self._limits) for group in self._groups]
        points_json = [point_json(point, self._limits) for point in self._points]
        found = [m for part in (*groups, *points_json) for m in part["measurements"]]
        size = QUICK if s.quick else GROUPS["conv_train"].size
        results = {
            "format": 1,
            "busy_machine": self._load is not None and self._load > BUSY,
            "kind": self._kind,
            "machine": self._machine,
            "load_average_before": self._load,
            "versions": {name: version for m in found for name, version in m["versions"].items()},
            "settings": {
                **{name: getattr(s, name) for name in ("threads", "repeats", "quick", "block_s", "settle_s", "seed")},
                **{"beta": s.beta, "num_steps": size["num_steps"], "peers": list(s.commands)},
            },
            "limits": records.to_json(self._limits),
            "run_s": round(time.perf_counter() - self._begun, 1),
            "stopped": self.stopped,
        }
        if self._kind == "sweep":
            results |= {"points": points_json, "lines": lines(points_json) if points_json else []}
        else:
            results |= {"groups": groups, "memory": self._memory}
        return _without_verdicts(results) if s.quick else results

    def _tell(self, text: str) -> None:
        click.echo(f"{time.perf_counter() - self._begun:6.0f} s  {text}", err=True)


def _without_verdicts(value):
    """Return results without targets: a smoke run neither meets nor misses any."""
    if isinstance(value, dict):
        return {name: None if name == "met" else _without_verdicts(part) for name, part in value.items()}
    return [_without_verdicts(part) for part in value] if isinstance(value, list) else value


def _commands(python: str, chosen: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    found = shutil.which(str(user_path("--peers", python)))
    if found is None:
        raise InputError(f"--peers must be a Python interpreter, received {python!r}")
    return {name: (found, str(_SCRIPTS / f"{name}_work.py")) for name in PEERS if name in chosen}


def _variant(text: str) -> tuple[str, dict]:
    scope, name, value = parse_assignment(text)
    if scope != "model":
        raise InputError(f"--variant must be model.NAME=VALUE, received {text!r}")
    return text, {name: value}


def _check(commands: dict[str, tuple[str, ...]], threads: int) -> int:
    from check import check
    from kerasburst_cli.running import load_tensorflow

    load_tensorflow()
    rows = check(commands, threads)
    click.echo(report.check_text(rows))
    return 0 if all(row["agrees"] for row in rows) else 1


def main() -> None:
    """Run the command; bad input is one line and exit code 2."""
    try:
        command.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except InputError as error:
        click.echo(f"run.py: {error}", err=True)
        sys.exit(2)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("run.py: interrupted; what was measured is written", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
