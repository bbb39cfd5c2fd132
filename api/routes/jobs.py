"""Pulls of models, and the jobs that they are."""

from __future__ import annotations

import re

from aiohttp import hdrs, web

from api.errors import problem
from api.http import headers
from api.http.body import json_answer
from api.openapi import answers
from api.routes.models import model_of
from api.schemas import JobBody, JobsBody, PulledBody, job_body
from core.errors import PullFailed
from core.jobs import texts
from core.jobs.job import Job, JobState
from core.ollama.model_name import ModelName
from core.sidecar import Sidecar

PREFER = "Prefer"
RESPOND_ASYNC = "respond-async"
# The Aura app gives each call 30 s.
_PATIENCE_SECONDS = 25
_PREFERENCES = (
    f"`{RESPOND_ASYNC}`: answer at once, with the job. "
    f"`wait=N`: answer within N seconds, {_PATIENCE_SECONDS} at most. See RFC 7240."
)


class JobRoutes:
    """Handlers of jobs; pulls are of the instance `default`."""

    def __init__(self, core: Sidecar) -> None:
        self._jobs = core.jobs

    def table(self) -> list[web.RouteDef]:
        """Their routes."""
        return [
            web.post("/api/ollama/models/{model}/pull", self.pull),
            web.get("/api/ollama/jobs", self.jobs),
            web.get("/api/ollama/jobs/{job}", self.job),
            web.delete("/api/ollama/jobs/{job}", self.cancel),
        ]

    @answers(
        {200: PulledBody, 202: JobBody},
        headers={PREFER: {"type": "string", "description": _PREFERENCES}},
        errors=(503,),
    )
    async def pull(self, request: web.Request) -> web.Response:
        """Have a model pulled, as a job. Answers after 25 s at most, then without success; the job goes on."""
        name = model_of(request)
        is_async, patience = preferred(request)
        try:
            job = await self._jobs.pull(name, patience=patience)
        except PullFailed as error:
            raise PullFailed(name.as_written, _failed(name, error.message), action=error.action) from None
        if job.is_ended or not is_async:
            return _pulled(name, job)
        answer = json_answer(job_body(job), 202)
        answer.headers[hdrs.LOCATION] = f"/api/ollama/jobs/{job.id}"
        answer.headers[headers.PREFERENCE_APPLIED] = RESPOND_ASYNC
        return answer

    @answers(JobsBody)
    async def jobs(self, request: web.Request) -> web.Response:
        """The jobs that are under way, and those that have ended within a day, 50 at most."""
        await self._jobs.loaded()
        found = [job_body(job) for job in self._jobs.all]
        return json_answer(JobsBody(found, len(found)))

    @answers(JobBody, errors=(404,))
    async def job(self, request: web.Request) -> web.Response:
        """One job."""
        await self._jobs.loaded()
        return json_answer(job_body(self._jobs[request.match_info["job"]]))

    @answers(JobBody, errors=(404,))
    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a job, which ends its download. One that has ended stays as it is."""
        return json_answer(job_body(await self._jobs.cancel(request.match_info["job"])))


def preferred(request: web.Request) -> tuple[bool, float]:
    """Whether the caller prefers to get the job, and how many seconds it waits for the end before that.

    https://www.rfc-editor.org/rfc/rfc7240: what is not understood there is passed over.
    """
    text = ",".join(request.headers.getall(PREFER, []))
    found = [each.partition(";")[0].strip().lower() for each in text.split(",")]
    is_async = RESPOND_ASYNC in found
    waits = [int(each[5:]) for each in found if re.fullmatch("wait=[0-9]{1,9}", each)]
    return is_async, min([*waits, 0 if is_async and not waits else _PATIENCE_SECONDS])


def _pulled(name: ModelName, job: Job) -> web.Response:
    model = name.as_written
    match job.state:
        case JobState.DONE:
            return json_answer(PulledBody(True, f"Model '{model}' pulled successfully", model, job.id))
        case JobState.FAILED:
            return problem(400, PullFailed.code, PullFailed.title, _failed(name, job.error or ""), model=model)
        case JobState.CANCELLED:
            return json_answer(PulledBody(False, f"The download of '{model}' was cancelled.", model, job.id))
        case JobState.QUEUED | JobState.RUNNING:
            return json_answer(PulledBody(False, texts.going_on(job), model, job.id))


def _failed(name: ModelName, words: str) -> str:
    return f"Failed to pull model '{name.as_written}': {words}"
