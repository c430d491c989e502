"""kerasburst export."""

from __future__ import annotations

import json

import click
from kerasburst_cli.options import Named, json_option
from kerasburst_cli.running import choose_tensorflow, load_tensorflow, say

from kerasburst.registry import FORMATS


@click.command("export")
@click.argument("run", type=click.Path())
@click.option("--format", "format", type=Named(list(FORMATS)), default="savedmodel")
@click.option("--out", type=click.Path(), required=True, help="Directory to write; BASE/1 for TensorFlow Serving.")
@click.option("--force", is_flag=True, help="Replace the export in --out.")
@json_option
def command(run, format, out, force, as_json):
    """Export a finished run's network: to serve it, stream to it, or convert it.

    savedmodel takes images or spikes, whole sequences or single steps, and needs TensorFlow; onnx takes spikes; litert
    takes one time step; nir is a graph for neuromorphic tools. manifest.json in the same directory says what goes in
    and out, how raw values are scaled, and how to call the model. The directory appears whole or not at all. Runs of
    every KERAS_BACKEND can be exported.
    """
    choose_tensorflow()
    load_tensorflow()
    from kerasburst.export.exporting import export_run

    manifest = export_run(run, out, format, force=force)
    if as_json:
        click.echo(json.dumps({"out": str(out), **manifest}, indent=2))
        return
    for name, signature in manifest["signatures"].items():
        say(f"{name:<16}{_shapes(signature['inputs'])} -> {', '.join(signature['outputs'])}")
    for reason in dict.fromkeys(manifest["left_out"].values()):
        names = [name for name, why in manifest["left_out"].items() if why == reason]
        say(f"without {', '.join(names)}: {reason}")
    say(f"written to {out}; try it: kerasburst predict {out} --input FILE")


def _shapes(described) -> str:
    return ", ".join(
        name + ("(" + ", ".join("n" if size is None else str(size) for size in tensor["shape"]) + ")")
        for name, tensor in described.items()
    )
