"""The main group: verbs are imported when used, plugins' commands join it, and errors are printed in one place."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from trm_harness.cli import streams
from trm_harness.cli.options import DEBUG, SuggestingGroup, printable
from trm_harness.errors import BadInput, CheckFailed, HarnessError, PluginError
from trm_harness.plugins import local_files
from trm_harness.plugins.host import TRACE
from trm_harness.progress import be_quiet

VERBS = {
    "eval": ("trm_harness.cli.eval:command", "Answer a task's puzzles with a model and score the answers."),
    "train": ("trm_harness.cli.train:command", "Train a model on a task."),
    "tasks": ("trm_harness.cli.tasks:command", "The puzzles: list, show, sample, pull, overlap."),
    "models": ("trm_harness.cli.models:command", "The architectures and solvers: list, show."),
    "zoo": ("trm_harness.cli.zoo.commands:command", "Trained weights and their cards: list, show, pull, verify, path."),
    "runs": (
        "trm_harness.cli.runs.commands:command",
        "Runs and their records: list, show, score, diff, watch, plot, config, path.",
    ),
    "leaderboard": ("trm_harness.cli.leaderboard.commands:command", "Our records beside the scores others published."),
    "bench": ("trm_harness.cli.bench:command", "Speed on this machine: eval, train, data, cli."),
    "plugins": ("trm_harness.cli.plugins:command", "Plugins and their health: list, show, check, new."),
    "doctor": ("trm_harness.cli.doctor:command", "Check this installation."),
}
"""Verb -> (``module:attribute`` of its click command, its one line in ``--help``)."""


class Interrupted(click.ClickException):
    """Ctrl-C. Exit code 130, as shells have it."""

    exit_code = 130


class MainGroup(SuggestingGroup):
    """Imports a verb's file when the verb is used and asks plugins for theirs when a name is not one of ours."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*VERBS, *sorted(self.plugin_commands())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return self.plugin_commands().get(cmd_name)
        module, _, attribute = VERBS[cmd_name][0].partition(":")
        return getattr(import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs from the table, so that ``--help`` imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])
        others = {name: command.get_short_help_str(90) for name, command in self.plugin_commands().items()}
        if others:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(sorted(others.items()))

    def plugin_commands(self) -> dict[str, click.Command]:
        """Commands that plugins add. One that claims a verb of ours or of another plugin is quarantined."""
        from trm_harness.registry import installed

        host = installed()
        owners: dict[str, str] = dict.fromkeys(VERBS, "trm-harness itself")
        commands: dict[str, click.Command] = {}
        for info in host.healthy():
            scratch = click.Group()
            with host.isolated(info):
                host.call(info, "register_commands", cli=scratch)
                taken = [f"{name!r} by {owners[name]}" for name in scratch.commands if name in owners]
                if taken:
                    raise PluginError(f"its commands are taken: {', '.join(taken)}")
                commands |= scratch.commands
                owners |= dict.fromkeys(scratch.commands, str(info))
        return commands

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            # Turned into click's own kind before click sees it, which would print an empty line.
            raise Interrupted(f"interrupted{': ' if stop.args else ''}{stop}") from stop

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> NoReturn:
        """Run and exit: 0 fine, 1 a check or run failed, 2 usage or bad input, 130 interrupted."""
        extra["standalone_mode"] = False
        streams.prepare()
        try:
            outcome = super().main(_plugins_first(args), prog_name or "trm-harness", **extra)
            sys.stdout.flush()
        except OSError as error:
            if error.errno == errno.EPIPE:
                # The reader of our output (`| head`) left: not worth a message.
                streams.nobody_reads()
                sys.exit(1)
            if DEBUG in os.environ:
                raise
            sys.exit(_report(_refused(error)))
        except (HarnessError, click.ClickException, click.Abort) as error:
            sys.exit(_report(error))
        sys.exit(outcome if isinstance(outcome, int) else 0)


@click.command(
    cls=MainGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda *args: _version(*args),
    help="Show the version and exit.",
)
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    is_eager=True,
    expose_value=False,
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=lambda ctx, parameter, paths: local_files.add(paths),
    help="Also use the plugin in this one Python file. May be given again.",
)
@click.option(
    "-q",
    "--quiet",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, parameter, wanted: be_quiet(wanted),
    help="Show no progress: warnings, errors and what was asked for alone.",
)
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, parameter, wanted: os.environ.update({DEBUG: "1", TRACE: "1"} if wanted else {}),
    help="Show what plugins are asked, and the traceback of a failure.",
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Evaluate and train tiny recursive models, and any other solver, on grid puzzles."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


EVERYWHERE = ("-q", "--quiet", "-v", "--verbose")
"""Options of the main group that may stand behind a verb too."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Entry point of ``trm-harness`` and of ``python -m trm_harness``."""
    cli.main(args)


def _plugins_first(args: Sequence[str] | None) -> list[str]:
    """``--plugin FILE``, ``-q`` and ``-v`` belong to the main group, but are as welcome behind one of our verbs."""
    given = list(sys.argv[1:] if args is None else args)
    if not given or given[0] not in VERBS:
        return given
    end = given.index("--") if "--" in given else len(given)
    moved = [word for word in given[:end] if word in EVERYWHERE]
    given = [word for index, word in enumerate(given) if index >= end or word not in EVERYWHERE]
    while "--plugin" in given[:-1] and "--" not in given[: given.index("--plugin")]:
        index = given.index("--plugin")
        moved += given[index : index + 2]
        del given[index : index + 2]
    return moved + given


def _version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        import trm_harness

        click.echo(f"trm-harness {trm_harness.__version__}")
        ctx.exit()


def _report(error: Exception) -> int:
    """One line on stderr for an error a user can mend, and its exit code."""
    if isinstance(error, click.Abort):
        error = Interrupted("interrupted")
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        click.echo(error.ctx.get_help(), err=True)
        return 2
    message = error.format_message() if isinstance(error, click.ClickException) else str(error)
    prefix = "" if isinstance(error, Interrupted) else "error: "
    click.echo(printable(f"{prefix}{' '.join(message.split())}"), err=True)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(f"hint: `{error.ctx.command_path} --help` shows what it takes", err=True)
    return error.exit_code


def _refused(error: OSError) -> HarnessError:
    """The system's refusal (a folder that may not be searched, a name that is too long) as one line."""
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return CheckFailed(f"the system refused: {reason}")
    return BadInput(f"{os.fsdecode(error.filename)} cannot be used: {reason}: check the path and its permissions")
