"""The Windows half of `core.platform.sockets`: the system's real table."""

from __future__ import annotations

import os
import socket

import pytest

from core.platform import sockets
from tests import tied


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_listener_is_told_with_its_owner_and_other_sockets_are_not(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family) as listener, socket.socket(family) as client:
        listener.bind((host, 0))
        listener.listen()
        port = listener.getsockname()[1]
        client.connect((host, port))
        served, _ = listener.accept()
        with served:
            assert list(sockets.listening(port)) == [(host, tied.owner(os.getpid()))]
            assert list(sockets.listening(client.getsockname()[1])) == []
    assert list(sockets.listening(port)) == []
