"""`run/jobs.json`: whole or not at all, for this user alone, and never a reason to fail."""

from __future__ import annotations

import json
import logging
import stat
import sys
from pathlib import Path

import pytest

from core.jobs import job_file
from core.jobs.job import Job, JobState
from core.jobs.job_file import KeptJob, NewerJobs
from core.ollama.model_name import ModelName
from core.settings.paths import Paths
from tests import tied

NAME = ModelName.parse("http://127.0.0.1:5000/library/tiny:q4")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    paths.data.mkdir()
    return paths


def kept(id: str = "abc123") -> KeptJob:
    job = Job(id, str(NAME), "default", JobState.RUNNING, 1000.0, "", completed=5, total=10, percent=50)
    return KeptJob(job, NAME)


def test_what_is_written_is_read_again(paths: Paths) -> None:
    jobs = [kept("a1"), kept("b2")]
    job_file.write(paths, job_file.encoded(jobs))
    assert job_file.read(paths) == jobs
    if sys.platform != "win32":
        assert stat.S_IMODE(job_file.job_path(paths).stat().st_mode) == 0o600


def test_without_a_file_there_are_no_jobs(paths: Paths) -> None:
    assert job_file.read(paths) == []


def test_a_file_torn_at_any_place_holds_no_jobs_and_is_logged(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    content = job_file.encoded([kept()])
    for end in range(len(content)):
        job_file.write(paths, content[:end])
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert job_file.read(paths) == []
        assert "not gone on with" in caplog.text


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "no/such/name/at/all"},
        {"instance": "../x"},
        {"state": "lost"},
        {"id": "../../token"},
        {"id": ""},
        {"percent": 101},
        {"percent": -1},
        {"startedAt": "yesterday"},
        {"startedAt": 1e300},
        {"startedAt": 1e11},
        {"startedAt": -1e17},
        {"state": "done", "endedAt": 1e17},
        {"state": "done"},
        {"endedAt": 1000.0},
        {"completed": -1},
        {"total": 2**64},
        {"model": None},
    ],
)
def test_a_row_that_makes_no_sense_is_left_out_and_the_others_stay(paths: Paths, changes: dict[str, object]) -> None:
    document = json.loads(job_file.encoded([kept("a1"), kept("b2")]))
    document["jobs"][0] |= changes
    job_file.write(paths, json.dumps(document))
    assert [each.job.id for each in job_file.read(paths)] == ["b2"]


def test_a_file_of_a_later_version_is_told(paths: Paths) -> None:
    job_file.write(paths, json.dumps({"version": 2, "jobs": []}))
    with pytest.raises(NewerJobs, match="later version"):
        job_file.read(paths)


@pytest.mark.parametrize("content", ["[]", "null", '{"version":1,"jobs":{}}', "[" * 100_000, '{"jobs":[]}'])
def test_a_file_of_another_shape_holds_no_jobs(paths: Paths, content: str) -> None:
    job_file.write(paths, content)
    assert job_file.read(paths) == []


@tied.posix("modes of files")
def test_a_list_that_others_may_have_written_is_not_used(paths: Paths) -> None:
    job_file.write(paths, job_file.encoded([kept()]))
    job_file.job_path(paths).chmod(0o666)
    assert job_file.read(paths) == []
