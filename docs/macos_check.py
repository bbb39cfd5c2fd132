"""What only a real Mac can show: `python -m docs.macos_check`, from a checkout with its `.[dev]`.

Compares what launchctl prints with what we read of it, installs our service and removes it, controls Homebrew's Ollama
if you agree, asks what to look at, and prints a report to paste. Each step that changes something asks before.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from core.platform import launchd

CHECKOUT = Path(__file__).parents[1]
HOMEBREW = "homebrew.mxcl.ollama"
OURS = "studio.aura.ollama.sidecar"
CLI = [sys.executable, "-P", "-m", "cli"]

QUESTIONS = (
    "Start the tray. Is its icon in the menu bar, and does its menu open?",
    "Choose “Start Ollama”. Does a notification say so, and `ollama ps` answer?",
    "Log out and in again with the service installed. Does `aura-ollama status` answer at once?",
    "Was the Ollama that it had started still running then, or does status say why not?",
    "End `ollama` in the Activity Monitor while Homebrew's job runs. Does status tell of a restart by launchd?",
)


def main() -> int:
    """0 if all is as it should be."""
    if platform.system() != "Darwin":
        print("This is for macOS.", file=sys.stderr)
        return 2
    steps: list[tuple[str, Callable[[], str]]] = [
        ("The tests pass", _tests),
        ("What launchctl prints is read", _parsed),
        ("Our service is installed, ended, kept alive and removed", _service),
        ("Homebrew's Ollama is stopped and started", _homebrew),
    ]
    report = [f"macOS {platform.mac_ver()[0]} ({platform.machine()}), Python {platform.python_version()}"]
    for what, step in steps:
        if not _agreed(f"{what}?"):
            report.append(f"-  {what}")
            continue
        try:
            report.append(f"y  {what}: {step()}")
        except Exception as error:
            report.append(f"n  {what}: {error!r}")
    report += [f"{'y' if _agreed(question) else 'n'}  {question}" for question in QUESTIONS]
    print("\n" + "\n".join(report))
    return 0 if all(line.startswith("y") for line in report[1:]) else 1


def _agreed(question: str) -> bool:
    return input(f"{question} [y/n] ").strip().lower() == "y"


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout


def _tests() -> str:
    return _run(sys.executable, "-m", "pytest", "-q").strip().splitlines()[-1]


def _parsed() -> str:
    """The text of a job that every session has, in full, and what we take out of it."""
    target = f"{launchd.domains()[0]}/com.apple.Finder"
    text = _run("launchctl", "print", target)
    job = launchd.parse(text)
    if job.pid is None or job.state != "running":
        raise RuntimeError(f"{job} was read of:\n{text}")
    missing = launchd.job(f"{launchd.domains()[0]}/studio.aura.nobody")
    if missing is not None:
        raise RuntimeError(f"a label that nobody has was read as {missing}")
    return str(job)


def _service() -> str:
    print(_run(*CLI, "service", "install"))
    target = f"{launchd.domains()[0]}/{OURS}"
    try:
        before = launchd.job(target)
        _run("launchctl", "kill", "KILL", target)
        input("Wait 15 s for launchd to start it again, and press Return. ")
        after = launchd.job(target)
        if not (before and after and after.pid) or after.pid == before.pid:
            raise RuntimeError(f"{before} became {after}")
        _run(*CLI, "service", "install")
        return _run(*CLI, "service", "status").strip().replace("\n", "; ")
    finally:
        _run(*CLI, "service", "uninstall")
        if launchd.job(target) is not None:
            raise RuntimeError("it is loaded still")


def _homebrew() -> str:
    target = f"{launchd.domains()[0]}/{HOMEBREW}"
    job = launchd.job(target)
    if job is None or job.plist is None:
        raise RuntimeError(f"{HOMEBREW} is not loaded: brew services start ollama")
    launchd.bootout(target)
    if launchd.job(target) is not None:
        raise RuntimeError("it is loaded after bootout")
    launchd.bootstrap(launchd.domains()[0], job.plist)
    launchd.kickstart(target)
    return f"{job} became {launchd.job(target)}"


if __name__ == "__main__":
    sys.exit(main())
