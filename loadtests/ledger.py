"""What was sent and what was seen: whether an answer is a copy that a packager made, and the same one for everybody."""

import hashlib
from dataclasses import dataclass, field

# A rendition and a number; None for the init segment.
Segment = tuple[str, int | None]


@dataclass(frozen=True)
class Answer:
    """What a client got. `status` is 0 when there was no answer at all, and `error` says why."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    error: str = ""

    def header(self, name: str) -> str:
        """Return a header, empty if there is none; names are lower case here."""
        return self.headers.get(name, "")


class WrongBodyError(Exception):
    """The body is not what its ETag says, or not what a packager sent."""


class OtherCopyError(Exception):
    """The body is right, but somebody got another copy of the segment before."""


class Ledger:
    """Digests of what was published in this run, and the one ETag of every segment that was delivered.

    Args:
        knows_all: Whether everything that is delivered was published in this run, so that an unknown copy is wrong.
    """

    def __init__(self, *, knows_all: bool) -> None:
        self._knows_all = knows_all
        self._sent: dict[tuple[Segment, str], str] = {}
        self._foreign: set[Segment] = set()
        self._etags: dict[Segment, str] = {}

    def sent(self, segment: Segment, pipeline: str, body: bytes) -> None:
        """Remember what a packager sends; call it before, as the first reader may be faster than the answer."""
        self._sent[segment, pipeline] = hashlib.sha256(body).hexdigest()

    def refused(self, segment: Segment, pipeline: str) -> None:
        """Another copy was delivered before this run: no judgement of where its bytes come from."""
        self._sent.pop((segment, pipeline), None)
        self._foreign.add(segment)

    def check(self, segment: Segment, answer: Answer) -> None:
        """Judge a whole body.

        Raises:
            WrongBodyError, OtherCopyError
        """
        digest = hashlib.sha256(answer.body).hexdigest()
        etag = answer.header("etag")
        if etag != f'"{digest[:32]}"':
            raise WrongBodyError(f"the body does not match its ETag {etag or '(none)'}")
        pipeline = answer.header("live-origin-pipeline")
        known = self._sent.get((segment, pipeline))
        if known is None and self._knows_all and segment not in self._foreign:
            raise WrongBodyError(f"pipeline {pipeline or '(none)'} is named, which sent no such segment")
        if known is not None and known != digest:
            raise WrongBodyError(f"the body is not what pipeline {pipeline} sent")
        first = self._etags.setdefault(segment, etag)
        if first != etag:
            raise OtherCopyError(f"another cache got {first}, this one {etag}")

    def forget_before(self, number: int) -> None:
        """Let go of segments that have left the DVR window, or a long run would fill memory."""

        def is_old(segment: Segment) -> bool:
            return segment[1] is not None and segment[1] < number

        self._sent = {key: digest for key, digest in self._sent.items() if not is_old(key[0])}
        self._foreign = {segment for segment in self._foreign if not is_old(segment)}
        self._etags = {segment: etag for segment, etag in self._etags.items() if not is_old(segment)}

    def __len__(self) -> int:
        return len(self._sent) + len(self._foreign) + len(self._etags)
