"""How a call reaches the thread that owns the X11 tray window. For `icon` only.

pystray's own way shares one connection between threads, and python-xlib then now and then waits for ever for a reply
that the other thread has read.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable
from typing import Any


def hop(icon: Any) -> Callable[[Callable[[], None]], None]:
    """A function that has its argument called on the window's thread, soon. Call that from one thread only."""
    import Xlib.display
    import Xlib.X

    calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    connection = Xlib.display.Display()
    ours = connection.intern_atom("_AURA_OLLAMA_CALLS")
    window = connection.create_resource_object("window", icon._window.id)
    on_message = icon._message_handlers[Xlib.X.ClientMessage]

    def run_calls(event: Any) -> None:
        if event.client_type != ours:
            on_message(event)
            return
        with contextlib.suppress(queue.Empty):
            while True:
                calls.get_nowait()()

    def post(action: Callable[[], None]) -> None:
        calls.put(action)
        message = Xlib.display.event.ClientMessage(window=window, client_type=ours, data=(32, [0] * 5))
        window.send_event(message, event_mask=Xlib.X.NoEventMask)
        connection.flush()

    icon._message_handlers[Xlib.X.ClientMessage] = run_calls
    return post
