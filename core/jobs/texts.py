"""What is told of a job in words: how far it is, and what can be done about an error that Ollama tells. Pure."""

from __future__ import annotations

from core.jobs.job import Job, JobState
from core.text import size_text

ABOUT_TO_BEGIN = "About to begin"
WAITS_FOR_TURN = "Waits until another download has ended"
WAITS_FOR_OLLAMA = "Waits for Ollama, which does not answer; given up after 24 hours"
WAITS_FOR_START = "Waits for Ollama to start"

# Ollama's own words, in lower case, and what to do about them.
_MAKE_ROOM = "Make room on the disk that holds Ollama's models, and pull again."
_CONNECTION = "See to the connection, and pull again: it goes on where it stopped."
_REACH = "See whether the registry can be reached from this machine, and pull again."
_WAYS_OUT = {
    "file does not exist": "The registry has no such model. Check its name and its tag.",
    "no space left": _MAKE_ROOM,
    "not enough space": _MAKE_ROOM,
    "digest mismatch": "What came is not what the registry had promised. Pull again; if that does not help, the "
    "registry or something on the way to it is broken.",
    "max retries exceeded": _CONNECTION,
    "server gave http response to https client": "The registry speaks plain http. To pull by that, write http:// "
    "before its host; `allowInsecureRegistries` in ollama-sidecar.json has to allow it.",
    "connection refused": _REACH,
    "no such host": _REACH,
    "i/o timeout": _CONNECTION,
    "unexpected eof": _CONNECTION,
}


def way_out(error: str) -> str | None:
    """What a person can do about an error in Ollama's words, None if that is not known."""
    return next((way for words, way in _WAYS_OUT.items() if words in error.lower()), None)


def progress(job: Job) -> str:
    """How far a job is, such as `34 % of 2 GB, 12 MB/s, 2 min left`, or what it waits for, or how it ended."""
    match job.state:
        case JobState.QUEUED:
            return job.step
        case JobState.DONE:
            return "Downloaded"
        case JobState.CANCELLED:
            return "Cancelled"
        case JobState.FAILED:
            return job.error or "Failed"
        case JobState.RUNNING:
            if not job.total:
                return job.step
            parts = [f"{job.percent} % of {size_text(job.total)}"]
            if job.step != "Downloading":
                parts.append(job.step)
            elif job.bytes_per_second is not None:
                parts.append(f"{size_text(job.bytes_per_second)}/s")
                if job.seconds_left is not None:
                    parts.append(f"{_duration(job.seconds_left)} left")
            return ", ".join(parts)


def going_on(job: Job) -> str:
    """`progress` of a job that has not ended, for whoever waits no longer: `34 % of 2 GB, 12 MB/s; it goes on`."""
    return f"{progress(job).removesuffix('.')}; it goes on"


def _duration(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{round(minutes / 60)} h"
