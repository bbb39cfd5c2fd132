"""The beds by hand: `try` walks the product's main job, `windows` runs the tests in Windows, `build` makes the beds."""

from __future__ import annotations

import argparse
import io
import signal
import sys

from tests.beds import BedMissing
from tests.beds.ollama import ollama
from tests.beds.server import models_dir
from tests.beds.walk import WalkFailed, serve, walk
from tests.beds.windows import run_tests


def main() -> int:
    """0 if all worked, 1 if the product did not, 2 if this machine cannot have the beds."""
    parser = _parser()
    options, arguments = parser.parse_known_args()
    if arguments and options.command != "windows":
        parser.error(f"unknown arguments: {' '.join(arguments)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A random model says random characters, and not every terminal has them.
        sys.stdout.reconfigure(errors="replace")
    try:
        if options.command == "build":
            _build()
        elif options.command == "windows":
            return run_tests(arguments)
        elif options.serve:
            serve(wrapped=options.wrapped)
        else:
            walk(wrapped=options.wrapped)
    except BedMissing as missing:
        print(f"This machine cannot have the test bed: {missing}", file=sys.stderr)
        return 2
    except (WalkFailed, RuntimeError) as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.beds", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    attempt = commands.add_parser("try", help="start, use and stop a real Ollama through a real sidecar")
    attempt.add_argument("--serve", action="store_true", help="stay up after the start, until Ctrl-C")
    attempt.add_argument("--wrapped", action="store_true", help="an Ollama that runs behind a front of its own")
    commands.add_parser("windows", help="run the tests in a Windows under Wine; further arguments go to pytest")
    commands.add_parser("build", help="build the beds if they are not yet, and say where they are")
    return parser


def _build() -> None:
    bed = ollama()
    print(f"Ollama:  {bed.executable}\nwrapped: {bed.wrapped}\nmodels:  {models_dir()}")


if __name__ == "__main__":
    sys.exit(main())
