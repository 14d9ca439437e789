"""An answer as a value, and the table of everything that can be refused.

Handlers return a `Reply`; the edge (`routes`) turns it into bytes on a socket. Each refusal has one row:
its status, its title, its type (RFC 9457).
"""

import json
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from origin.headers import life_time
from origin.kept_head import KeptHead
from selection.cache_policy import CachePolicy
from storage.base import Body

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class Reply(NamedTuple):
    """One answer. A tuple, as that is made in a third of the time that a frozen data class takes.

    Args:
        outcome: A word for logs and metrics, from a small fixed set.
        facts: What the log line tells beside it.
        close: Whether the connection must end (the request's body was not read).
        head: Status, `headers` and length of the body, if they were made into a head before.
    """

    status: int
    outcome: str
    headers: Mapping[str, str] = _NONE
    body: Body = b""
    facts: Mapping[str, object] = _NONE
    close: bool = False
    head: KeptHead | None = None


class Problem(Enum):
    """What can be refused: (status, title)."""

    UNKNOWN_EVENT = (404, "Unknown event")
    UNKNOWN_PIPELINE = (404, "Unknown pipeline")
    UNKNOWN_RENDITION = (404, "Unknown rendition")
    UNKNOWN_NAME = (404, "No template of the event makes this name")
    BEFORE_START = (404, "Before the event")
    TOO_EARLY = (404, "Not due yet")
    NOT_PUBLISHED_YET = (404, "Not published yet")
    NEVER_PUBLISHED = (410, "Never published")
    LEFT_WINDOW = (410, "No longer in the DVR window")
    AFTER_END = (410, "After the event")
    METHOD = (405, "Method not allowed")
    PRECONDITION = (412, "Precondition failed")
    RANGE = (416, "Range not satisfiable")
    OVERLOADED = (503, "Overloaded")
    NOT_READY = (503, "Not ready yet")
    STOPPING = (503, "Stopping")
    STORAGE = (503, "Storage fault")
    INTERNAL = (500, "Internal error")
    BAD_REQUEST = (400, "Request not understood")
    TARGET_TOO_LONG = (414, "Request target too long")
    HEAD_TOO_LARGE = (431, "Header fields too large")
    HEAD_TIMEOUT = (408, "Head not received in time")
    TRUNCATED = (400, "Body cut short")
    BAD_HEADER = (400, "Header not understood")
    DIGEST_MISMATCH = (400, "Digest does not match the body")
    PARTIAL_UPLOAD = (400, "Uploads in parts are not supported")
    TOO_FAR_AHEAD = (409, "Ahead of the clock")
    ALREADY_CHOSEN = (409, "Already delivered with other bytes")
    OUTSIDE_WINDOW = (410, "Outside the window")
    BODY_STALLED = (408, "Body stalled")
    TOO_LARGE = (413, "Body too large")
    NOT_MEDIA = (415, "Not media")
    CODING = (415, "Content coding not supported")
    DISK_FULL = (507, "No space left")

    def __init__(self, status: int, title: str) -> None:
        self.status = status
        self.title = title
        self.slug = self.name.lower().replace("_", "-")


def problem(
    kind: Problem,
    detail: str,
    policy: CachePolicy | None = None,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Reply:
    """Return a refusal as `application/problem+json`.

    Args:
        detail: What was wrong and what would be right; never a path of our disk.
        policy: Its life time in caches; None on the publish side, where nothing is cached.
        members: Further members, such as `event`, `segment_number`, `due_ms`.
    """
    document = {
        "type": f"urn:live-origin:problem:{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
    } | {name: value for name, value in members.items() if value is not None}
    fields = {"Content-Type": "application/problem+json", **(headers or {})}
    if policy is not None:
        fields |= life_time(policy)
    if kind.status == 503:
        fields.setdefault("Retry-After", "1")
    return Reply(kind.status, kind.slug, fields, json.dumps(document).encode(), facts={})


def json_reply(status: int, outcome: str, document: Mapping[str, Any]) -> Reply:
    """Return an answer that carries a small JSON document."""
    return Reply(status, outcome, {"Content-Type": "application/json"}, json.dumps(document).encode())
