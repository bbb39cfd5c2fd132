"""The parser of one command, or of all of them: argparse by hand, made for the one command that is run."""

from __future__ import annotations

import argparse
import contextlib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from cli.table import RUN
from core.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.table import Command


class CommandModule(Protocol):
    """What each module of `cli.commands` has."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own options; the common ones are there already."""

    def run(self, options: argparse.Namespace) -> int:
        """Carry it out; the exit code. May raise what `cli.program` puts in words."""


class Misused(Exception):
    """The command line is not understood: an argument will not do, or they make no sense together. For people."""


class Parser(argparse.ArgumentParser):
    """argparse's, which leaves it to the caller to print what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Raises Misused."""
        raise Misused(message)

    def complain(self, message: str) -> None:
        """Print the usage and the message to stderr, as argparse does. It may quote what was typed."""
        with contextlib.suppress(SystemExit):
            super().error(on_one_line(message))


def given(text: str) -> str:
    """`text` as it is. Refuses an empty one: an unset variable of the shell's means nobody, and not all."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; give a value, or leave it out")
    return text


def _folder(text: str) -> Path:
    return Path(given(text))


def module_of(command: Command) -> CommandModule:
    """The module that carries the command out."""
    return cast("CommandModule", import_module(f"cli.commands.{command.name}"))


def parser_of(command: Command) -> Parser:
    """The parser of that command alone."""
    parser = Parser(prog=f"aura-ollama {command.name}", description=_sentence(command.summary), allow_abbrev=False)
    _fill(parser, command)
    return parser


def whole_parser(commands: Sequence[Command]) -> Parser:
    """One parser of all these commands. For completion, which has to know everything."""
    parser = Parser(prog="aura-ollama", allow_abbrev=False)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command in commands:
        child = subparsers.add_parser(command.name, help=command.summary, allow_abbrev=False)
        _fill(child, command)
    return parser


def _fill(parser: argparse.ArgumentParser, command: Command) -> None:
    module_of(command).add_options(parser)
    common = parser.add_argument_group("common options")
    common.add_argument("--data-dir", type=_folder, metavar="FOLDER", help="the folder that holds AuraData")
    if command.name == RUN:
        return
    common.add_argument(
        "--instance", type=given, metavar="ID", help="which Ollama, if there are several (default: default)"
    )
    common.add_argument("--json", action="store_true", help="print the sidecar's JSON, for programs")


def _sentence(summary: str) -> str:
    return summary[:1].upper() + summary[1:] + "."
