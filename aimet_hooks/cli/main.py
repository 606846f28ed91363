"""The group of commands, and how errors and signals become exit codes.

0: done, 1: the run failed, 2: wrong usage, 130: interrupted, 143: terminated.
"""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

import click

from aimet_hooks import __version__
from aimet_hooks.cli.compress import compress
from aimet_hooks.cli.demo import demo
from aimet_hooks.cli.layers import layers
from aimet_hooks.cli.merge import merge
from aimet_hooks.cli.option_names import with_options
from aimet_hooks.cli.plugins import plugins
from aimet_hooks.cli.quantization import quantization
from aimet_hooks.cli.replay import replay
from aimet_hooks.cli.select import apply, select
from aimet_hooks.cli.serve import serve
from aimet_hooks.cli.show import show
from aimet_hooks.cli.text_table import printable, shortened
from aimet_hooks.cli.verify import verify
from aimet_hooks.errors import AimetHooksError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

MOST_SAID = 1_000
"""Characters of a message."""
DONE, FAILED, WRONG_USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


class TerminatedError(KeyboardInterrupt):
    """SIGTERM: ends a run as Ctrl-C does, so that everything is put back and what is known is written."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="aimet-hooks")
@click.option("--traceback", is_flag=True, help="Show where an error came from (at any place of the line).")
def commands(*, traceback: bool) -> None:
    """Compress networks layer by layer, and see every step."""
    del traceback  # taken from the line in main, so that it may stand anywhere


for command in (demo, layers, compress, merge, select, apply, quantization, show, replay, verify, serve, plugins):
    commands.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    Args:
        arguments: The line without the program's name; that of the process if None.
    """
    line = list(sys.argv[1:] if arguments is None else arguments)
    detailed = "--traceback" in line
    line = [part for part in line if part != "--traceback"]
    _log_to_stderr()
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        code = commands.main(line, prog_name="aimet-hooks", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001, RUF100
        if detailed:
            traceback.print_exception(error)
        return _said(error, _options_of(line))
    finally:
        signal.signal(signal.SIGTERM, previous)
    return code if isinstance(code, int) else DONE


def _options_of(line: Sequence[str]) -> list[str]:
    """The options of the command on a line."""
    command = next((commands.commands[part] for part in line if part in commands.commands), commands)
    return [option for parameter in command.params for option in parameter.opts]


def _said(error: BaseException, options: Sequence[str]) -> int:
    """Say an error in one line on stderr; the exit code that it has."""
    if isinstance(error, click.Abort) and error.__cause__ is not None:
        error = error.__cause__  # click aborts for an interrupt, and for the end of any file
    if isinstance(error, TerminatedError):
        return _failure("terminated", TERMINATED)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return _failure("interrupted", INTERRUPTED)
    if isinstance(error, SystemExit):
        return _failure(f"error: the evaluation called sys.exit({error.code!r})", FAILED)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    if isinstance(error, click.ClickException):
        return _failure(f"error: {_usage(error)}", error.exit_code)
    own = isinstance(error, AimetHooksError)
    text = with_options(str(error), options) if own else f"{type(error).__name__}: {error}"
    return _failure(f"error: {' '.join(text.split())}", WRONG_USAGE if isinstance(error, UsageError) else FAILED)


def _usage(error: click.ClickException) -> str:
    """What is wrong with a line, and where its options are listed."""
    text = " ".join(error.format_message().split()).rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{text[:1].lower()}{text[1:]}" + (f"; see {context.command_path} --help" if context else "")


def _failure(text: str, code: int) -> int:
    click.echo(f"aimet-hooks: {printable(shortened(text, MOST_SAID))}", err=True)
    return code


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise TerminatedError


def _log_to_stderr() -> None:
    """Warnings of the package as one line each; a program that uses the package configures logging itself."""
    if not logging.getLogger().handlers:
        logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
        logging.addLevelName(logging.WARNING, "warning")
        logging.addLevelName(logging.ERROR, "error")
