"""The owner in force: has it attend to its Ollama, and publishes what it tells of that. A part of `machine`."""

from __future__ import annotations

import asyncio

from core.owners.protocol import UNTOLD, Terms
from core.settings.owner import PROCESS
from core.supervision import messages
from core.supervision.published import Published
from core.supervision.shared_task import CreateTask
from core.supervision.tasks import Tasks


class OwnerInForce:
    """The owner that the settings name, by its text; None before they have been read. Belongs to the loop."""

    def __init__(self, tasks: Tasks, create_task: CreateTask, now: Published) -> None:
        self.text: str | None = None
        self.terms = Terms(0.0, {}, "")
        """What the settings say; whoever attends reads them as they are by then."""
        self._tasks = tasks
        self._create_task = create_task
        self._now = now
        self._attending: asyncio.Task[None] | None = None

    def use(self, text: str) -> bool:
        """Have that one in force; whether it is another one. Then what the former one told is forgotten."""
        if text == self.text:
            return False
        self.text = text
        self._now.change(owner_problem=None, condition=UNTOLD)
        return True

    def attend(self) -> None:
        """Have it attend to its Ollama from the beginning: it tells again of one that runs."""
        if self._attending:
            self._attending.cancel()
        if self.text is not None:
            self._now.change(owner_unheard=self.text != PROCESS)
            self._attending = self._create_task(self._tasks.attend(self.text, self.terms))

    def heard(self, news: messages.Troubled | messages.Told | messages.Looked) -> bool:
        """Publish what an owner tells, if it is this one; whether it could not be asked before, and now can be."""
        if news.owner != self.text:
            return False
        was_troubled = self._now.status.owner_problem is not None
        match news:
            case messages.Troubled():
                self._now.change(owner_problem=news.why)
            case messages.Told():
                self._now.change(condition=news.condition)
            case messages.Looked():
                self._now.change(owner_unheard=False)
        return was_troubled and self._now.status.owner_problem is None
