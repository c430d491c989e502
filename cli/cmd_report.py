"""kerasburst report."""

from __future__ import annotations

from pathlib import Path

import click
from kerasburst_cli.running import say

from kerasburst.validation import InputError


@click.command("report")
@click.argument("folders", metavar="DIR...", nargs=-1)
@click.option("--out", type=click.Path(), help="Path of the page. Default: report.html in the first DIR.")
@click.option("--quiet", is_flag=True, help="Print the page's path alone.")
def command(folders, out, quiet):
    """Write one page of all results below DIR...: runs, audits, transfers, sweeps, profiles, reproductions.

    The page is one file that needs no network. Its links to the JSON files are relative to the page.
    """
    if not folders:
        raise InputError("DIR must be given, one or more folders with results, received none")
    from kerasburst.reports.collection import write_collection

    path, counts, problems = write_collection(folders, Path(folders[0], "report.html") if out is None else out)
    for problem in problems:
        say(f"not shown: {problem}", err=True)
    if not quiet:
        say(", ".join(f"{n} {kind}{'s' * (n != 1)}" for kind, n in counts.items() if n))
    say(f"written to {path}")
