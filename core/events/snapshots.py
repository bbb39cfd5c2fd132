"""Snapshots for any number of subscribers: the current one first, then changes. Slow ones get only the newest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Subscription(Generic[T]):
    """One subscriber's view. Iterate it on the loop that publishes."""

    def __init__(self, first: T) -> None:
        self._newest = first
        self._changed = asyncio.Event()
        self._changed.set()

    def put(self, value: T) -> None:
        """Replace what the subscriber has not read yet."""
        self._newest = value
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[T]:
        """Yield the newest value whenever there is one that was not yielded yet. Never ends by itself."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            yield self._newest


class Broadcast(Generic[T]):
    """The current value and its subscribers. For one loop only."""

    def __init__(self, first: T) -> None:
        self.current = first
        self._subscriptions: set[Subscription[T]] = set()
        self._listeners: list[Callable[[T], None]] = []

    def publish(self, value: T) -> None:
        """Make `value` current, and tell subscribers and listeners if it differs from the last one."""
        differs = value != self.current
        self.current = value
        if not differs:
            return
        for subscription in self._subscriptions:
            subscription.put(value)
        for listener in self._listeners:
            listener(value)

    @contextmanager
    def subscribe(self) -> Iterator[Subscription[T]]:
        """A subscription that begins with the current value and ends with the block."""
        subscription = Subscription(self.current)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def tell(self, listener: Callable[[T], None]) -> None:
        """Have `listener` called with the current value now, and from within `publish` with each change, none left out.

        `listener` must return at once and not raise.
        """
        self._listeners.append(listener)
        listener(self.current)
