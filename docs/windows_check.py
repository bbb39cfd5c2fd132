"""What only a person at a real Windows can see: `python -m docs.windows_check`, from a checkout with its `.[dev]`.

Runs the tests, those that Wine cannot pass among them, asks what to look at, and prints a report to paste.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]

QUESTIONS = (
    "Start `aura-ollamaw` from a shortcut. Does no console window appear, not even for a moment?",
    "Click Start in the icon's menu. Does a toast of Windows say so, and no console window appear for Ollama?",
    "Set the screen to 150 % (Settings, System, Display). Is the icon still sharp, and the menu in proportion?",
    "Rest the mouse on the icon. Does the tip show the address, without a stray underline?",
    "End explorer.exe in the Task Manager and start it again. Is the icon back, and does its menu open?",
    "With Ollama up, end the icon's process in the Task Manager. Does `ollama ps` still answer?",
    "Start aura-ollama again. Is the icon green at once, and does Stop end every ollama.exe?",
    "Choose Start at login, sign out and in again. Did signing out go on at once, and is the icon there?",
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
