"""All commands, and which of them a command line means. Imports none of them, and nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Command(NamedTuple):
    """`name` is what people type, `summary` what the list of commands says of it.

    It is carried out by `cli.commands.<name>`, which has `add_options(parser)` and `run(options)`.
    """

    name: str
    summary: str


RUN = "run"
"""The one command that is the program itself, with the options of the program."""

COMMANDS = (
    Command(RUN, "run the tray and the sidecar, as without a command; --headless: the sidecar alone"),
    Command("status", "whether Ollama runs, where and how"),
    Command("start", "start Ollama; returns once it answers"),
    Command("stop", "stop the Ollama that was started here"),
    Command("restart", "stop Ollama, if it runs, and start it anew"),
    Command("logs", "the last lines of Ollama's log; -f: then new ones as they come"),
    Command("models", "which models are installed"),
    Command("pull", "get a model, and show how far it is"),
    Command("rm", "delete models, after a question"),
    Command("load", "have a model in memory"),
    Command("unload", "take a model out of memory"),
    Command("ps", "which models are in memory"),
    Command("jobs", "downloads under way and those of the last day; jobs cancel JOB: end one"),
    Command("events", "what has happened since the sidecar began; -f: what happens, as it does"),
    Command("metrics", "what Ollama takes, and how fast it answers"),
    Command("instances", "list the Ollamas that the settings name"),
    Command("settings", "print all settings, or get, set or reset one"),
    Command("token", "print the token that lets a program in"),
    Command("open", "open the page, the logs or the data folder"),
    Command("service", "run the sidecar at each login, without a tray"),
    Command("container", "make a container for Ollama in Docker or Podman"),
    Command("completion", "print the script by which a shell completes commands"),
    Command("doctor", "find what is wrong, and the way out of each"),
)

_COMMON_WITH_VALUE = ("--data-dir", "--instance")
_COMMON = ("--json",)


def split(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The name of the command, None if there is none, and its arguments.

    The common options may stand before the name as well. The name may be none of a command: `program` says so.
    """
    rest = list(arguments)
    place = 0
    while place < len(rest):
        word = rest[place]
        if not word.startswith("-"):
            return word, rest[:place] + rest[place + 1 :]
        if word in _COMMON_WITH_VALUE:
            place += 2
        elif word in _COMMON or word.partition("=")[0] in _COMMON_WITH_VALUE:
            place += 1
        else:
            break
    return None, rest


def overview() -> str:
    """The list of commands, for the end of a help text."""
    width = max(len(command.name) for command in COMMANDS)
    lines = [f"  {command.name:{width}}  {command.summary}" for command in COMMANDS]
    return "\n".join(
        [
            "commands (aura-ollama COMMAND --help tells more):",
            *lines,
            "",
            "Each command but run takes --data-dir, --json and --instance.",
        ]
    )
