"""One command from its arguments to its exit code: every error becomes words on stderr and a code of `cli.exits`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import exits, output
from cli.client import Failed, NoSidecar
from cli.output import ReaderGone
from cli.table import COMMANDS
from core import interrupt
from core.settings.paths import DEFAULT_INSTANCE
from core.text import on_one_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from cli.parser import CommandModule

_MOST_SHOWN = 60
# The sidecar's answer where there is no such path. So far not every call is there for each instance.
_NO_SUCH_CALL = "http_404"


def run(name: str, arguments: Sequence[str]) -> int:
    """Carry out the command of that name. Raises nothing that a person could cause."""
    output.prepare()
    try:
        code = _outcome(name, arguments)
        output.finish()
    except ReaderGone:
        output.let_go()
        return exits.DONE
    except OSError as error:
        output.let_go()
        # argparse prints by itself.
        if isinstance(output.lost(error), ReaderGone):
            return exits.DONE
        output.complain(f"the output cannot be written: {error.strerror or error}.")
        return exits.FAILED
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    finally:
        interrupt.leave_at_once()
    return code


def _outcome(name: str, arguments: Sequence[str]) -> int:
    command = next((command for command in COMMANDS if command.name == name), None)
    if command is None:
        return _unknown(name, arguments)
    from cli.parser import Misused, module_of, parser_of

    parser = parser_of(command)
    try:
        options = parser.parse_args(arguments)
        return _carried_out(module_of(command), options)
    except Misused as error:
        if _wants_json(arguments):
            help_text = f"`aura-ollama {name} --help` tells what it takes."
            output.as_json(own_problem("usage", on_one_line(str(error)), help_text))
        parser.complain(str(error))
        return exits.USAGE
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else exits.USAGE


def _carried_out(module: CommandModule, options: argparse.Namespace) -> int:
    try:
        # From here on a command may make something of Ctrl-C.
        interrupt.raise_again()
        return module.run(options)
    except NoSidecar as error:
        if options.json:
            output.as_json(own_problem("no_sidecar", error.message, error.action))
        output.complain(error.message, error.action)
        return exits.NO_SIDECAR
    except Failed as error:
        if error.code == _NO_SUCH_CALL and options.instance not in (None, DEFAULT_INSTANCE):
            error.message = (
                f"The sidecar cannot do this for the instance {options.instance}, only for {DEFAULT_INSTANCE}."
            )
            error.action = "Leave --instance out; `aura-ollama instances` lists all that there are."
        if options.json:
            if error.body is not None:
                output.document(error.body)
            else:
                output.as_json(own_problem(error.code, error.message, error.action))
        output.complain(error.message, error.action)
        return exits.FAILED


def own_problem(code: str, message: str, action: str | None) -> dict[str, object]:
    """A failure that no sidecar has told of, with the fields that its answers have."""
    return {"success": False, "code": code, "message": message, "action": action}


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether `--json` is among arguments that are not understood."""
    return "--json" in arguments[: arguments.index("--") if "--" in arguments else None]


def _unknown(name: str, arguments: Sequence[str]) -> int:
    import difflib

    names = [command.name for command in COMMANDS]
    near = difflib.get_close_matches(name, names, n=1)
    shown = name if len(name) <= _MOST_SHOWN else name[:_MOST_SHOWN] + "…"
    message = f"{shown!r} is no command."
    action = f"Did you mean `aura-ollama {near[0]}`?" if near else "`aura-ollama --help` lists all commands."
    if _wants_json(arguments):
        output.as_json(own_problem("usage", message, action))
    output.complain(message, action)
    return exits.USAGE
