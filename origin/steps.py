"""What a GET can come to: an answer, a wait, a read. Values between `origin.deliver` and who waits for it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from origin.reply import Reply
from origin.representation import Prepared, Sending
from selection.model import SegmentKey
from storage.errors import StorageError


@dataclass(frozen=True, slots=True)
class DeliverRequest:
    """A GET or HEAD.

    Args:
        path: Of its target, decoded. raw_path: As it was received, without a query.
        headers: Those that `conditional.FIELDS` names.
    """

    method: str
    path: str
    raw_path: str
    headers: Mapping[str, str]

    @property
    def is_head(self) -> bool:
        return self.method == "HEAD"


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait for the choice of `key`, but no longer than `timeout_ms`, then ask again."""

    key: SegmentKey
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Read:
    """Wait for the body, which is being read from the lower tier; ask `heal` if that fails."""

    prepared: Prepared
    sending: Sending
    reading: "asyncio.Task[bytes]"
    heal: "Heal"


Step = Reply | Hold | Read
Heal = Callable[[StorageError], Awaitable[Step]]
