"""What only a person at a real Windows can see: `python -m docs.windows_check`, from a checkout with its `.[dev]`.

Runs the tests, those that Wine cannot pass among them, asks what to look at, and prints a report to paste.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

from core.ollama.models import Model
from core.supervision.state import State, Status
from tray.menu import Facts, view

CHECKOUT = Path(__file__).parents[1]

_STOPPED = view(Facts(Status(State.STOPPED)))
_UP = view(Facts(Status(State.RUNNING, models=(Model("x"),))))
_OTHER = view(Facts(Status(State.EXTERNAL)))
_START, _STOP = _STOPPED.find("power").label, _UP.find("power").label
_RESTART, _HOW_TO_STOP = _UP.find("restart").label, _OTHER.find("power").label
_LOAD, _LOGIN = _UP.find("models", "model x", "load").label, _UP.find("login").label
_COPY, _ABOUT = _UP.find("copy ollama").label, _UP.find("about").label

# What stands in such quotes is an entry of the menu.
QUESTIONS = (
    "Start `aura-ollamaw` from a shortcut. Does no console window appear, not even for a moment?",
    f"Choose “{_START}” in the icon's menu. Does a toast of Windows say so, and no console window appear for Ollama?",
    "Click that toast. Does Ollama's log open?",
    "End ollama.exe in the Task Manager. Does a toast with a sign of error or warning take the last one's place?",
    f"Open the menu. Does it offer “{_STOP}” and “{_RESTART}”, and can you say of each entry what it does?",
    f"Choose “{_LOAD}” for a model, then open the menu again. Does the model bear a dot?",
    f"Choose “{_COPY}” and paste it somewhere. Is it the address where Ollama answers?",
    f"Choose “{_ABOUT}”. Does the toast have a line each for version, Ollama, sidecar and data?",
    f"Stop it, run `ollama serve` in a console, and open the menu. Does “{_HOW_TO_STOP}” tell whose it is?",
    "Set the screen to 150 % (Settings, System, Display). Is the icon still sharp, and the menu in proportion?",
    "Rest the mouse on the icon. Does the tip say what Ollama does, without a stray underline?",
    "End explorer.exe in the Task Manager and start it again. Is the icon back, and does its menu open?",
    "With Ollama up, end the icon's process in the Task Manager. Does `ollama ps` still answer?",
    f"Start aura-ollama again. Is the icon green at once, and does “{_STOP}” end every ollama.exe?",
    f"Start it with --data-dir and --port, choose “{_LOGIN}”, sign out and in again. Did signing out go on at once, "
    f"and is the icon there, with that folder and port in “{_ABOUT}”?",
    "As another user of this machine, run `curl -X POST http://127.0.0.1:5006/api/ollama/stop`. Is it refused?",
    "As that user, try to open the folder AuraData\\run. Is it refused?",
)


def main() -> int:
    """0 if all is as it should be."""
    if platform.system() != "Windows":
        print("This is for Windows.", file=sys.stderr)
        return 2
    tests = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=CHECKOUT, check=False)
    answers = [input(f"{question} [y/n] ").strip().lower() or "-" for question in QUESTIONS]
    print(f"\nWindows {platform.version()} ({platform.machine()}), Python {platform.python_version()}")
    print(f"tests: {'passed' if tests.returncode == 0 else f'exit code {tests.returncode}'}")
    for answer, question in zip(answers, QUESTIONS, strict=True):
        print(f"{answer}  {question}")
    return 0 if tests.returncode == 0 and set(answers) == {"y"} else 1


if __name__ == "__main__":
    sys.exit(main())
