"""Messages as files, where no provider is configured: for a laptop, a trial, tests."""

import asyncio
import os
from pathlib import Path
from uuid import UUID

from loyalnest.admin_features.events import Message
from loyalnest.event_tracking.mime import NotSendable, written
from loyalnest.event_tracking.models import Delivered, NotTaken, Outcome, Rejected
from loyalnest.kit.clock import Clock


class FileSink:
    """One file a task, which a repeat writes again: `<task id>.eml` for e-mail, `<task id>.txt` for a text message.

    They hold what the customer would read, in the clear, so only their owner may read them.
    """

    def __init__(self, folder: Path, sender: str, clock: Clock) -> None:
        self._folder = folder
        self._sender = sender
        self._clock = clock

    async def email(self, task_id: UUID, message: Message) -> Outcome:
        """Write an e-mail as its provider would send it."""
        try:
            email = written(task_id, message, message.sender or self._sender, self._clock())
        except NotSendable as error:
            return Rejected(str(error))
        return await self._write(f"{task_id}.eml", email.as_bytes())

    async def sms(self, task_id: UUID, message: Message) -> Outcome:
        """Write a text message below its number."""
        return await self._write(f"{task_id}.txt", f"To: {message.to}\n\n{message.text}\n".encode())

    async def _write(self, name: str, content: bytes) -> Outcome:
        try:
            await asyncio.to_thread(_write, self._folder, name, content)
        except OSError as error:
            return NotTaken(f"The folder for messages cannot be written ({type(error).__name__}).")
        return Delivered(name)

    async def close(self) -> None:
        """Nothing is kept open."""


def _write(folder: Path, name: str, content: bytes) -> None:
    """Write a file that is never there by half."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / f".{name}.part"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / name)
