"""The command's entrance: which commands there are, and how errors become lines and exit codes.

Exit codes: 0 done, 1 failed, 2 bad input, 3 an audit whose controls failed, 130 interrupted.
Commands load when they are called for: `kerasburst --help` imports neither them nor TensorFlow.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback

import click
from kerasburst_cli.running import noted_interrupts, say

from kerasburst.validation import InputError, check_backend, one_line, suggestion
from kerasburst.version import __version__

# name: (module, the line that `kerasburst --help` shows)
COMMANDS = {
    "train": ("kerasburst_cli.cmd_train", "Train a spiking network on encoded data."),
    "evaluate": ("kerasburst_cli.cmd_evaluate", "Measure a trained run's accuracy over many encodings."),
    "predict": ("kerasburst_cli.cmd_predict", "Classify examples from a file, over many encodings."),
    "export": ("kerasburst_cli.cmd_export", "Export a trained network: to serve it, stream to it, or convert it."),
    "attack": ("kerasburst_cli.cmd_attack", "Audit encodings for membership inference."),
    "profile": ("kerasburst_cli.cmd_profile", "Measure what encodings cost: time, memory, power, operations."),
    "transfer": ("kerasburst_cli.cmd_transfer", "Measure transfer from one data set to another."),
    "sweep": ("kerasburst_cli.cmd_sweep", "Vary parameters and measure accuracy, firing and leakage."),
    "reproduce": ("kerasburst_cli.cmd_reproduce", "Test the paper's claims, each with a verdict."),
    "report": ("kerasburst_cli.cmd_report", "Write one page of all results in some folders."),
    "encode": ("kerasburst_cli.cmd_encode", "Draw what an encoder does to an example."),
    "bench": ("kerasburst_cli.cmd_bench", "Measure how fast layers and encoders run on this machine."),
    "datasets": ("kerasburst_cli.cmd_datasets", "List the data sets, and whether each is available here."),
}


_OUT_OF_MEMORY = "kerasburst: out of memory; a smaller network, --batch-size or --num-steps needs less"
_UNLOADED = ("failed to map segment", "annot allocate memory", "cannot apply additional memory protection")


class LazyGroup(click.Group):
    """A group whose commands are imported when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands, in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one command."""
        if name not in COMMANDS:
            return None
        check_backend()
        return importlib.import_module(COMMANDS[name][0]).command

    def invoke(self, ctx: click.Context):
        """Run a command; an error of a config's field names the option that set it, where it is called otherwise."""
        given = list(ctx.args)
        try:
            return super().invoke(ctx)
        except InputError as error:
            command = self.get_command(ctx, str(ctx.invoked_subcommand))
            raise InputError(_of_option(str(error), command, given)) from error

    def resolve_command(self, ctx: click.Context, args: list[str]):
        """Find the command, with a suggestion where it is misspelt."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(
                f"command must be one of {', '.join(COMMANDS)}, received {args[0]!r}" + suggestion(args[0], COMMANDS)
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' lines without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _of_option(message: str, command: click.Command | None, given: list[str]) -> str:
    """Return an error's message with the option in the field's place: --window for window_s, if that was given."""
    field, _, rest = message.partition(" ")
    for option in command.params if command else ():
        name = option.opts[0]
        if option.name == field != name.strip("-").replace("-", "_") and any(
            word == name or word.startswith(f"{name}=") for word in given
        ):
            return f"{name} {rest}"
    return message


_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True}


@click.group(cls=LazyGroup, context_settings=_SETTINGS)
@click.version_option(__version__, prog_name="kerasburst")
def cli() -> None:
    """Burst spike encoders and spiking networks for Keras, and honest measurements of both.

    Start with: kerasburst train --encoding delayed_burst
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit."""
    try:
        with noted_interrupts():
            code = cli.main(args=arguments, prog_name="kerasburst", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        code = 0
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        name = context.command_path if context else "kerasburst"
        code = _refuse(
            f"{error.format_message()} (see {name} --help)"
            if isinstance(error, click.UsageError)
            else error.format_message()
        )
    except InputError as error:
        code = _refuse(str(error))
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("kerasburst: interrupted", err=True)
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except MemoryError:
        click.echo(_OUT_OF_MEMORY, err=True)
        code = 1
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        say(f"kerasburst: {error.strerror or error}{where}", err=True)
        code = 1
    except Exception as error:
        code = _failed(error)
    sys.exit(code or 0)


def _refuse(message: str) -> int:
    click.echo("kerasburst: " + one_line(message, None), err=True)
    return 2


def _failed(error: Exception) -> int:
    """Print a failure that is not the user's: one line if it is foreseen, else a report of the defect."""
    if type(error).__name__ in ("TrainingFailed", "FleetFailed", "ClusterLost", "WorkerLost"):
        say(f"kerasburst: {error}", err=True)
    elif type(error).__name__ == "ResourceExhaustedError":
        click.echo(_OUT_OF_MEMORY, err=True)
    elif isinstance(error, ImportError) and any(words in str(error) for words in _UNLOADED):
        click.echo(f"kerasburst: out of memory for the libraries it needs (see ulimit -v): {one_line(error)}", err=True)
    else:
        traceback.print_exception(error)
        click.echo("kerasburst: this is a defect of kerasburst; please report it with the lines above", err=True)
    return 1
