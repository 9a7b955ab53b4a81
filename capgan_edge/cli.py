"""The command line: a table of contents. Parts bring their commands by entry point; errors become one line here."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, NoReturn

import typer

from capgan_edge.errors import CapganError, MissingDependencyError

GROUP = "capgan_edge.commands"
INTERRUPTED, INTERNAL = 130, 70
"""Exit codes: Ctrl-C, and a mistake of ours."""


def main(argv: Sequence[str] | None = None, parts: Iterable[EntryPoint] | None = None) -> int:
    """Run one command and return its exit code; `parts` defaults to the entry points installed."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    has_traceback, is_json = "--traceback" in options, "--json" in options
    if has_traceback:  # taken wherever it stands, since it is added to a command line that has just failed
        arguments.remove("--traceback")
    app, notices = build_app(entry_points(group=GROUP) if parts is None else parts)
    try:
        result = app(arguments, prog_name="capgan-edge", standalone_mode=False)
        sys.stdout.flush()
        code = result if isinstance(result, int) else 0  # typer returns the code of a typer.Exit
        return _say("interrupted", INTERRUPTED) if code == INTERRUPTED else code
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        return _give_up_on_stdout()
    except Exception as error:
        if has_traceback:
            traceback.print_exc()
        return _report(error, notices, is_json=is_json)


def build_app(parts: Iterable[EntryPoint]) -> tuple[typer.Typer, list[str]]:
    """Return the root app with the commands of every part, and a notice for each part that could not be loaded."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    notices: list[str] = []
    for part in sorted(parts, key=lambda part: part.name):
        try:
            _merge(app, part.load())
        except Exception as error:  # whatever is wrong with one part, the others still work
            notices.append(f"the part {part.name!r} could not be loaded ({_one_line(error)})")
            _add_stand_in(app, part.name, error)
    _add_root(app, notices)
    return app, notices


def _merge(app: typer.Typer, part: typer.Typer) -> None:
    app.registered_commands.extend(part.registered_commands)
    app.registered_groups.extend(part.registered_groups)


def _add_stand_in(app: typer.Typer, name: str, error: Exception) -> None:
    """Register a command under a broken part's name that says why it is not there."""

    def stand_in() -> NoReturn:
        if isinstance(error, CapganError):
            raise error
        missing = error.name if isinstance(error, ModuleNotFoundError) and error.name else None
        if missing and not missing.startswith("capgan"):
            raise MissingDependencyError(missing, f"the part {name!r}", "train") from error
        raise CapganError(
            f"expected the part {name!r} of capgan-edge to load, but: {_one_line(error)}; reinstall capgan-edge"
        ) from error

    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(name, help=f"Not available: {_one_line(error)}", context_settings=settings)(stand_in)


def _add_root(app: typer.Typer, notices: list[str]) -> None:
    @app.callback(invoke_without_command=True)
    def root(
        context: typer.Context,
        version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
        traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error arose.")] = False,
    ) -> None:
        """Adversarial purification for deployed image classifiers."""
        if version:
            import capgan_edge

            typer.echo(f"capgan-edge {capgan_edge.__version__}")
            raise typer.Exit
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())
            for notice in notices:
                typer.echo(f"note: {notice}", err=True)


def _report(error: Exception, notices: Sequence[str], *, is_json: bool) -> int:
    """Print an error as one line, and where asked as JSON too; return the exit code."""
    if type(error).__name__ == "NoArgsIsHelpError":  # a group called without a command: its message is its help
        typer.echo(str(error))
        return 2
    message, code = f"internal error: {type(error).__name__}: {_one_line(error)}; run with --traceback", INTERNAL
    if isinstance(error, CapganError):
        message, code = _one_line(error), error.exit_code
    elif hasattr(error, "format_message"):  # typer's own: an unknown command or option, a missing argument
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "capgan-edge"
        said = _flat(error.format_message())
        notes = "".join(f"; note: {notice}" for notice in notices) if "No such command" in said else ""
        message, code = f"{said} See '{path} --help'{notes}", getattr(error, "exit_code", 2)
    if is_json:
        typer.echo(json.dumps({"error": message}))
    return _say(message if code == INTERNAL else f"error: {message}", code)


def _say(line: str, code: int) -> int:
    typer.echo(line, err=True)
    return code


def _one_line(error: BaseException) -> str:
    return _flat(str(error)) or type(error).__name__


def _flat(text: str) -> str:
    """Return text on one line without control characters: it may quote a hostile file."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))


def _give_up_on_stdout() -> int:
    """The reader has gone (`| head`): say nothing more, and keep the interpreter's own last flush silent."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


if __name__ == "__main__":
    sys.exit(main())
