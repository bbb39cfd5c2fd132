"""From errors to answers: the only place that gives a core error an HTTP status."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.http.body import encoded
from api.schemas import ProblemBody
from core import errors
from core.errors import CoreError, ModelError
from core.text import in_sentences

# The Aura app retries each 5xx three times and logs its user out on 401: 5xx is for faults only, and 401 is never sent.
STATUS_OF = {
    errors.ConfigError.code: 400,
    errors.BadSetting.code: 400,
    errors.PathNotConfigured.code: 400,
    errors.PathInvalid.code: 400,
    errors.BadModelName.code: 400,
    errors.RegistryNotAllowed.code: 403,
    errors.ModelNotFound.code: 404,
    # Not 5xx: what Ollama refuses it refuses again, and that is no fault of the sidecar.
    errors.ModelError.code: 409,
    # As Aura's own backend answers.
    errors.DeleteFailed.code: 400,
    errors.PullFailed.code: 400,
    errors.NoSuchInstance.code: 404,
    errors.NoSuchJob.code: 404,
    errors.ModelInUse.code: 409,
    errors.TooManyLoads.code: 409,
    errors.NotRunning.code: 409,
    errors.AlreadyRunning.code: 409,
    errors.PortInUse.code: 409,
    errors.NothingManaged.code: 409,
    errors.NotOurs.code: 409,
    errors.NotAnswering.code: 409,
    errors.RunsElsewhere.code: 409,
    errors.RemoteOllama.code: 409,
    errors.Superseded.code: 409,
    errors.SpawnFailed.code: 500,
    errors.StartTimedOut.code: 500,
    errors.Crashed.code: 500,
    errors.CrashLoop.code: 500,
    errors.StopFailed.code: 500,
    errors.ShuttingDown.code: 503,
}


def problem(
    status: int, code: str, title: str, message: str, action: str | None = None, model: str | None = None
) -> web.Response:
    """An RFC 9457 problem response that also has the fields which the Aura app reads. `model` is what it is about."""
    detail = in_sentences(message, action)
    body = ProblemBody(
        f"urn:aura-ollama:{code}",
        title,
        status,
        detail,
        code,
        message,
        action=action,
        model_name=model or msgspec.UNSET,
    )
    return web.Response(status=status, body=encoded(body), content_type="application/problem+json")


def core_problem(error: CoreError) -> web.Response:
    """The response for a core error."""
    model = error.model if isinstance(error, ModelError) else None
    return problem(STATUS_OF.get(error.code, 500), error.code, error.title, error.message, error.action, model)


class BadValue(Exception):
    """A value in the request cannot be used. Names the field, the value, and what would be accepted (`wanted`)."""

    def __init__(self, field: str, found: str, wanted: str) -> None:
        super().__init__(f"{field} is {found!r}.")
        self.wanted = wanted


def explanation(error: Exception, path: str) -> web.Response | None:
    """The response for an exception of a handler, on a call of `path`; None for a fault of ours."""
    match error:
        case CoreError():
            return core_problem(error)
        case BadValue():
            return problem(400, "bad_value", "Invalid request", str(error), error.wanted)
        case web.RequestPayloadError():
            return problem(400, "body_unreadable", "Invalid request", "The body of this request cannot be read.")
        case web.HTTPException():
            response = problem(error.status, f"http_{error.status}", error.reason, f"{error.reason}: {path}")
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
    return None
