"""`aura-ollama settings`: what is in force, and its change. Everything goes through the sidecar, which checks it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from cli import exits, output
from cli.client import Failed
from cli.common import client_of
from cli.parser import Misused, given
from core.text import in_sentences, on_one_line

if TYPE_CHECKING:
    import argparse

    from cli.client import Client

_ROUTE = "/api/ollama/settings"
_LATER = {
    "ollama_start": "It takes effect when Ollama is started anew; `aura-ollama restart` does that.",
    "sidecar_start": "It takes effect when the sidecar is started anew; its options --host and --port go first.",
}
_SWITCHES = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}


def add_options(parser: argparse.ArgumentParser) -> None:
    """What to do, with which setting."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=("get", "set", "reset"),
        default="get",
        help="get: print all, or the one that is named (default); set: change it; reset: back to its default",
    )
    parser.add_argument(
        "key", nargs="?", type=given, metavar="KEY", help="its name in the settings file, such as readyTimeout"
    )
    parser.add_argument(
        "value", nargs="?", metavar="VALUE", help="the new value; lists by commas or as JSON, objects as JSON"
    )


def run(options: argparse.Namespace) -> int:
    """Print settings, or change one."""
    if options.action == "get":
        if options.value is not None:
            raise Misused(f"get takes one name, and {options.value!r} is too much; use set to change a setting")
        return _get(options)
    if options.key is None:
        raise Misused(f"{options.action} needs the name of a setting; `aura-ollama settings` lists them")
    if options.action == "set" and options.value is None:
        raise Misused(f"set needs a value for {options.key}; `reset {options.key}` brings its default back")
    if options.action == "reset" and options.value is not None:
        raise Misused(f"reset takes no value; use `set {options.key} {options.value}`")
    client = client_of(options)
    setting = _setting(client, options.key)
    value = None if options.action == "reset" else _meant(setting, options.value)
    answer = client.call("PUT", _ROUTE, {"changes": {options.key: value}})
    if options.json:
        output.document(answer.body)
        return exits.DONE
    now = _named(answer.json["settings"], options.key)
    output.line(on_one_line(f"{options.key} is {_text(now['value'])}{_note(now)}."))
    if now["value"] != setting["value"] and (later := _LATER.get(now["takesEffect"])):
        output.line(later)
    return exits.DONE


def _get(options: argparse.Namespace) -> int:
    client = client_of(options)
    if options.key is not None:
        setting = _setting(client, options.key)
        output.as_json(setting) if options.json else output.line(on_one_line(_text(setting["value"])))
        return exits.DONE
    answer = client.get(_ROUTE)
    if options.json:
        output.document(answer.body)
        return exits.DONE
    output.table(
        ("Setting", "Value", "Default"),
        [
            (each["key"], _text(each["value"]), "" if each["value"] == each["default"] else _text(each["default"]))
            for each in answer.json["settings"]
        ],
    )
    if problem := answer.json["problem"]:
        output.note(in_sentences(problem["message"], problem["action"]))
    return exits.DONE


def _setting(client: Client, key: str) -> dict[str, Any]:
    """The setting of that name. Raises Failed, with what may have been meant."""
    found = client.get(_ROUTE).json["settings"]
    if any(each["key"] == key for each in found):
        return _named(found, key)
    import difflib

    names = {each["key"].lower(): each["key"] for each in found}
    near = difflib.get_close_matches(key.lower(), names, n=1)
    action = f"Did you mean `{names[near[0]]}`?" if near else "`aura-ollama settings` lists them all."
    raise Failed(f"There is no setting `{key}`.", action, code="bad_setting")


def _named(settings: list[dict[str, Any]], key: str) -> dict[str, Any]:
    return next(each for each in settings if each["key"] == key)


def _meant(setting: dict[str, Any], text: str) -> object:
    """`text` as a value of that kind. What is none goes to the sidecar as it is, which says what would do."""
    match setting["kind"]:
        case "switch":
            return _SWITCHES.get(text.strip().lower(), text)
        case "whole" | "number":
            return _number(text)
        case "list":
            if not text.lstrip().startswith("["):
                return [part.strip() for part in text.split(",") if part.strip()]
            return _json(text)
        case "object":
            return _json(text)
    return text


def _number(text: str) -> object:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return text
    # JSON has neither of the others.
    return value if math.isfinite(value) else text


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _text(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False)


def _note(setting: dict[str, Any]) -> str:
    return ", its default" if setting["value"] == setting["default"] else ""
