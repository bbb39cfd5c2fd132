"""`aura-ollama pull` and `jobs`, by the real Ollama from a registry on loopback, with the output in pipes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from cli import exits
from tests.beds.ending import end
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port
from tests.cli.shop import Shop, jobs_of
from tests.cli.terminal import aura, following

pytestmark = pytest.mark.timeout(90)


def test_a_pull_tells_its_steps_a_line_each_and_that_it_is_done(puller: Sidecar, registry_shop: Shop) -> None:
    name = registry_shop.add("lines")
    said = aura("pull", name, data=puller.root)
    assert (said.code, said.err) == (exits.DONE, "")
    lines = said.out.splitlines()
    assert lines[-1] == f"{name} is installed."
    assert all(line.startswith(f"{name}: ") for line in lines[:-1])
    assert len(set(lines)) == len(lines) > 1
    assert "\x1b" not in said.out
    again = aura("pull", name, data=puller.root)
    assert (again.code, again.err) == (exits.DONE, "")
    assert again.out.endswith(f"{name} is installed already, and up to date.\n")


def test_with_json_each_change_is_one_line_for_programs(puller: Sidecar, registry_shop: Shop) -> None:
    name = registry_shop.add("json")
    said = aura("pull", name, "--json", data=puller.root)
    assert (said.code, said.err) == (exits.DONE, "")
    found = [json.loads(line) for line in said.out.splitlines()]
    assert len({job["id"] for job in found}) == 1
    assert found[-1]["state"] == "done"
    assert [job["percent"] for job in found] == sorted(job["percent"] for job in found)
    assert all(job["state"] in ("queued", "running") for job in found[:-1])


def test_a_pull_that_fails_does_so_in_the_words_of_the_api(puller: Sidecar, registry_shop: Shop) -> None:
    name = registry_shop.add("there").replace("there", "nowhere")
    said = aura("pull", name, data=puller.root)
    assert said.code == exits.FAILED
    error = next(job["error"] for job in jobs_of(puller) if "nowhere" in job["model"])
    assert said.err == f"aura-ollama: Failed to pull model '{name}': {error}\n"
    assert "Check its name and its tag." in said.err


def test_what_is_refused_at_once_is_told_in_the_words_of_the_api(puller: Sidecar) -> None:
    for name, code in (("no such name!", 400), ("elsewhere.example/library/x", 403)):
        refused = call("POST", f"{puller.url}/api/ollama/models/{quote(name, safe='')}/pull")
        assert refused.status == code
        said = aura("pull", name, data=puller.root)
        assert (said.code, said.out) == (exits.FAILED, "")
        assert str(refused.json["message"]) in said.err


def test_one_that_is_cancelled_from_elsewhere_says_so(puller: Sidecar, registry_shop: Shop) -> None:
    name = registry_shop.add("cancelled", hold_at=1_000_000)
    with following("pull", name, data=puller.root) as pull:
        pull.until(lambda: any(" of 1.91 MB" in line for line in pull.lines))
        listed = aura("jobs", data=puller.root)
        assert re.match(r"ID +MODEL +STATE +HOW FAR +BEGUN\n", listed.out)
        assert re.search(r"/cancelled:latest +running +\d+ % of 1\.91 MB.* +just now\n", listed.out)
        (job,) = [job for job in jobs_of(puller) if job["state"] == "running"]
        cancelled = aura("jobs", "cancel", job["model"], data=puller.root)
        assert (cancelled.code, cancelled.err) == (exits.DONE, "")
        assert cancelled.out.startswith(f"The download of {job['model']} is cancelled.")
        assert pull.process.wait(30) == exits.FAILED
        pull.join()
        assert pull.err == f"aura-ollama: The download of '{name}' was cancelled.\n"
    again = aura("jobs", "cancel", job["id"], "--json", data=puller.root)
    assert (again.code, again.json["state"]) == (exits.DONE, "cancelled")


def test_ctrl_c_where_nobody_can_be_asked_leaves_it_going(puller: Sidecar, registry_shop: Shop) -> None:
    name = registry_shop.add("left", hold_at=1_000_000)
    with following("pull", name, data=puller.root) as pull:
        pull.until(lambda: any(" of 1.91 MB" in line for line in pull.lines))
        assert pull.interrupt() == exits.INTERRUPTED
        assert "The download goes on." in pull.err
        assert "Traceback" not in pull.err
    (job,) = [job for job in jobs_of(puller) if job["state"] == "running"]
    assert "/left" in job["model"]
    # Whoever pulls it meanwhile sees it to its end.
    with following("pull", name, data=puller.root) as other:
        other.until(lambda: bool(other.lines))
        registry_shop.release()
        assert other.process.wait(30) == exits.DONE
        other.join()
        assert other.lines[-1] == f"{name} is installed."
    assert [found["state"] for found in jobs_of(puller) if found["id"] == job["id"]] == ["done"]


def test_a_sidecar_that_is_lost_on_the_way_is_told_and_the_next_one_goes_on(
    registry_shop: Shop, tmp_path: Path
) -> None:
    name, port = registry_shop.add("lost", hold_at=1_000_000), free_port()
    settings = {"allowedRegistries": [registry_shop.host], "allowInsecureRegistries": True}
    executable, models = require(ollama).executable, tmp_path / "models"

    def sidecar() -> Sidecar:
        return Sidecar(tmp_path, executable=executable, models=models, ollama_port=port, settings=settings)

    with sidecar() as first:
        assert call("POST", f"{first.url}/api/ollama/start", timeout=60).status == 200
        with following("pull", name, data=tmp_path) as pull:
            pull.until(lambda: any(" of 1.91 MB" in line for line in pull.lines))
            end(first.process, 30)
            assert pull.process.wait(30) == exits.FAILED
            pull.join()
        assert pull.err.endswith("The download goes on once a sidecar runs again.\n")
        assert "Traceback" not in pull.err
    with sidecar() as second:
        assert [job["state"] for job in jobs_of(second)] == ["queued"]
        registry_shop.release()
        assert call("POST", f"{second.url}/api/ollama/start", timeout=60).status == 200
        assert aura("pull", name, data=tmp_path).code == exits.DONE
        assert [job["state"] for job in jobs_of(second)] == ["done"]


def test_a_wrong_use_of_jobs_is_told(puller: Sidecar) -> None:
    for arguments in (["cancel"], ["list", "x"], ["explode"]):
        said = aura("jobs", *arguments, data=puller.root)
        assert (said.code, said.out) == (exits.USAGE, "")
        assert said.err
    said = aura("jobs", "cancel", "nobody", data=puller.root)
    assert (said.code, said.out) == (exits.FAILED, "")
    assert said.err == "aura-ollama: There is no job 'nobody'. `aura-ollama jobs` lists all that there are.\n"


def test_jobs_for_programs_are_those_of_the_api(puller: Sidecar) -> None:
    found = aura("jobs", "--json", data=puller.root).json
    assert found == {"jobs": jobs_of(puller), "count": len(jobs_of(puller))}
    assert aura("jobs", "list", "--instance", "default", "--json", data=puller.root).json == found
