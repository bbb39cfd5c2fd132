"""A container, and SIGKILL of the sidecar or its Ollama, or a restart of its engine: what is left agrees again."""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.beds.engines import ENGINES, Engine
from tests.beds.require import require
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port
from tests.chaos.conftest import Chance

VICTIMS = ("sidecar", "ollama", "engine")
DEADLINE = 40.0


def until(holds: Callable[[], Any]) -> Any:
    """What `holds` returns once that is true; OSError counts as false. AssertionError after `DEADLINE` seconds."""
    deadline = time.monotonic() + DEADLINE
    last: object = None
    while time.monotonic() < deadline:
        try:
            if last := holds():
                return last
        except OSError as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(f"it never came true: {last}")


@pytest.mark.timeout(0)  # as many rounds as were asked for, each with deadlines of its own
@pytest.mark.parametrize("kind", ENGINES)
def test_after_any_kill_around_a_container_all_agrees_and_no_line_is_lost(
    chance: Chance, kind: type[Engine], tmp_path: Path
) -> None:
    # The path of a Unix socket is short.
    engine = require(lambda: kind(Path(tempfile.mkdtemp(prefix="aura-chaos-"))))
    with contextlib.ExitStack() as stack:
        require(lambda: stack.enter_context(engine))
        Rounds(engine, tmp_path, stack).play(chance)


class Rounds:
    """One container in one engine, and the sidecar that controls it."""

    def __init__(self, engine: Engine, root: Path, stack: contextlib.ExitStack) -> None:
        self._engine = engine
        self._root = root
        self._stack = stack
        self._port = free_port()
        self._marks: list[str] = []
        engine.run("ollama", self._port, policy="always")
        self._sidecar = self._launch()

    def play(self, chance: Chance) -> None:
        """Kill by chance, each victim at least once, and see after each that all agrees."""
        self._mark()
        order = chance.random.sample(VICTIMS, len(VICTIMS))
        order += chance.random.choices(VICTIMS, k=max(0, chance.rounds // 50 - len(VICTIMS)))
        for number, victim in enumerate(order):
            print(f"round {number}: {victim}")
            match victim:
                case "sidecar":
                    self._sidecar.process.kill()
                    self._sidecar.process.wait(DEADLINE)
                    self._ask()
                    self._sidecar = self._launch()
                case "ollama":
                    psutil.Process(self._pid()).kill()
                case _:
                    self._engine.stop()
                    self._engine.start()
            until(self._agrees)
            self._mark()
        assert call("POST", f"{self._sidecar.url}/api/ollama/stop", timeout=60).status == 200
        assert not self._engine.inspect("ollama")["State"]["Running"]

    def _launch(self) -> Sidecar:
        sidecar = Sidecar(
            self._root,
            # The setting has to name a program; the owner has its own.
            executable=Path("/bin/false"),
            models=self._root / "models",
            ollama_port=self._port,
            settings={"owner": "container:ollama"},
            env={"DOCKER_HOST": self._engine.url},
        )
        return self._stack.enter_context(sidecar)

    def _pid(self) -> int:
        return int(self._engine.inspect("ollama")["State"]["Pid"])

    def _agrees(self) -> bool:
        status = call("GET", f"{self._sidecar.url}/api/ollama/status").json
        is_up = status["state"] == "running" and status["error"] is None and status["managedByApp"]
        return bool(is_up) and status["pid"] == self._pid()

    def _ask(self) -> None:
        """Have Ollama log one more line that is known."""
        self._marks.append(f"/mark-{len(self._marks)}")
        until(lambda: call("GET", f"http://127.0.0.1:{self._port}{self._marks[-1]}").status == 404)

    def _mark(self) -> None:
        """Have one more line logged, and see that each so far is in our log, once and in its order."""
        self._ask()
        until(lambda: self._logged()[-1:] == self._marks[-1:])
        assert self._logged() == self._marks

    def _logged(self) -> list[str]:
        lines: Any = call("GET", f"{self._sidecar.url}/api/ollama/logs?maxLines=5000").json["logs"]
        return [found[1] for line in lines if (found := re.search(r'GET +"(/mark-\d+)"', line))]
