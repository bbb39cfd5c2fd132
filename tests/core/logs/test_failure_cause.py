"""The cause of an end comes first, in what the real Ollama says as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import SpawnFailed
from core.logs.failure_cause import cause_in, in_short
from tests import tied
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.rig import Rig
from tray.menu import Act
from tray.toasts import Toaster


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        (b"", b""),
        (b"nothing\n panic: no\nmsg=Error: no\nerror: no\n", b""),
        (b"panic: first\nrest\n", b"panic: first"),
        (b"before\nfatal error: all goroutines are asleep\n\nrest\n", b"fatal error: all goroutines are asleep"),
        (b"panic: first\nError: last\n", b"Error: last"),
        (b"Error: last\n", b"Error: last"),
        (b"SIGILL: illegal instruction\nPC=0x1\nPC=0x2\n", b"SIGILL: illegal instruction"),
        (b"a\nSIGSEGV: segmentation violation\nPC=0x1 m=0\n", b"SIGSEGV: segmentation violation"),
        (
            b"unexpected fault address 0x7f\nfatal error: fault\n[signal SIGBUS: bus error]\n",
            b"unexpected fault address 0x7f",
        ),
        (b"fatal error: fault\n", b""),
        (b"fatal: morestack on g0\nSIGTRAP: trace trap\n", b"SIGTRAP: trace trap"),
        (b"fatal: morestack on g0\n", b"fatal: morestack on g0"),
        (b"Exception 0xc0000005 0x0 0x0 0x7ff\nPC=0x1\n", b"Exception 0xc0000005 0x0 0x0 0x7ff"),
        (b"SIGNAL handling\nSIG: no\nSigned: no\n", b""),
    ],
)
def test_the_last_line_that_begins_like_a_cause_is_one(lines: bytes, cause: bytes) -> None:
    assert cause_in(lines) == cause


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("", ""),
        ("a", "a"),
        ("a b c d e f", "b | c | d | e | f"),
        ("panic:_x a b c d e", "panic: x | b | c | d | e"),
        ("a panic:_x", "panic: x | a"),
        ("SIGILL:_illegal PC=1 PC=2 PC=3 PC=4 PC=5", "SIGILL: illegal | PC=2 | PC=3 | PC=4 | PC=5"),
        ("unexpected_fault_address_0x7 fatal_error:_fault a b c d", "unexpected fault address 0x7 | a | b | c | d"),
    ],
)
def test_in_short_they_are_five(lines: str, told: str) -> None:
    assert in_short([line.replace("_", " ") for line in lines.split()]) == told


@pytest.mark.parametrize(
    ("env", "cause"),
    [
        pytest.param({}, "panic: $HOME is not defined", id="HOME unset"),
        pytest.param(
            {"OLLAMA_MODELS": "/dev/null/models"},
            "Error: mkdir /dev/null: not a directory",
            id="models that cannot be",
        ),
    ],
)
@tied.posix("HOME and /dev/null")
async def test_the_real_ollama_that_cannot_start_is_told_by_its_cause_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: dict[str, str], cause: str
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    rig = Rig(tmp_path, require(ollama).executable, env=env | ({"HOME": str(tmp_path)} if env else {}))
    async with rig.supervising() as supervisor:
        with pytest.raises(SpawnFailed) as failed:
            await supervisor.start()
    what, _, words = failed.value.message.partition(": ")
    assert what.startswith("Ollama ended with exit code ")
    assert words.startswith(cause)
    toast = Toaster().refused(failed.value, Act.START)
    assert toast
    assert cause in toast.text
