"""The publish side: PUT, POST and DELETE of packagers.

The order of one PUT: read the target from the path, check everything that the head and the clock can tell,
answer `Expect: 100-continue` by that decision, read the body, hand it to `intake`, answer. What happens to
bytes is told in `intake`, how its outcomes read in `upload_answers`.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from aiohttp import web

from origin import upload_answers
from origin.clock import Clock
from origin.intake import Intake, Stored, Unchanged, Upload
from origin.logs import fields
from origin.metrics import Metrics
from origin.receive import (
    BodyStalled,
    BodyTooLarge,
    BodyTruncated,
    abandon_body,
    decode_gzip,
    receive_body,
    send_continue,
)
from origin.reply import Problem, Reply, json_reply, problem
from origin.spool import Spool
from origin.target import Programmes, PublishTarget, split_path
from origin.upload_headers import BadHeader, Declared, HeaderLines, is_media_type, parse_declared
from selection.model import Event, SegmentKey
from selection.names import ManifestName
from storage.base import Body, Catalog
from storage.errors import StorageError, StorageFull

log = logging.getLogger(__name__)

METHODS: Final = ("PUT", "POST", "DELETE")
CODINGS: Final = ("identity", "gzip")


class UploadHead(NamedTuple):
    """What a packager asks.

    Args:
        path: Of its target, decoded.
        length_bytes: Of the body as it is sent; None if the head does not tell.
    """

    method: str
    path: str
    headers: HeaderLines
    length_bytes: int | None


class Admitted(NamedTuple):
    """A request whose body is to be read."""

    target: PublishTarget
    declared: Declared


@dataclass(frozen=True, slots=True)
class PublishLimits:
    """Bounds on what a packager may send.

    Args:
        body_idle_ms: How long a body may pause.
        uploads_count: Uploads in progress at once.
        has_space: Tells whether a copy of this number finds space; None for an init segment or a manifest.
    """

    segment_bytes: int
    manifest_bytes: int
    body_idle_ms: int
    uploads_count: int
    has_space: Callable[[Event, int | None], bool]


class Publisher:
    """Answers requests of the publish listener."""

    def __init__(
        self,
        programmes: Programmes,
        intake: Intake,
        catalog: Catalog,
        clock: Clock,
        metrics: Metrics,
        limits: PublishLimits,
    ) -> None:
        self._programmes = programmes
        self._intake = intake
        self._catalog = catalog
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self._uploads_count = 0
        self._is_finishing = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def finish(self) -> None:
        """Wait for the uploads in progress; from now on every answer ends its connection."""
        self._is_finishing = True
        await self._idle.wait()

    async def answer(self, request: web.BaseRequest) -> Reply:
        """Answer one request in aiohttp's hands; never raises for what a packager or the disk can do."""
        head = UploadHead(request.method, request.path, request.headers, request.content_length)
        admitted = self.admit(head)
        if isinstance(admitted, Reply):
            if not _expects_continue(head):
                return admitted
            # A client that waits for 100 sends no body now; what it sends next is another request.
            abandon_body(request)
            return admitted._replace(close=True)
        self.begin()
        try:
            return self._finish(admitted, await self._take(request, head, admitted))
        finally:
            self.end()

    def admit(self, head: UploadHead) -> Admitted | Reply:
        """Return what is to be taken, or the answer to a request whose body is not even read."""
        target = self._target(head.path)
        if isinstance(target, Reply):
            return target
        if head.method not in METHODS:
            allow = ", ".join(METHODS)
            return problem(Problem.METHOD, f"Packagers use {allow} here.", headers={"Allow": allow})
        if head.method == "DELETE":
            # ffmpeg and shaka-packager delete what leaves their playlist, some of it twice.
            detail = "Nothing was deleted: how long a segment lives is told by the event's clock."
            return json_reply(200, "delete-ignored", {"outcome": "ignored", "detail": detail})
        declared = self._check_head(head, target)
        if isinstance(declared, Reply):
            return declared._replace(facts=_facts(target))
        if self._uploads_count >= self._limits.uploads_count:
            detail = f"{self._uploads_count} uploads are in progress, as many as limits.uploads allows; try again."
            return problem(Problem.OVERLOADED, detail)
        return Admitted(target, declared)

    async def keep(self, admitted: Admitted, spool: Spool) -> Reply:
        """Store a body that arrived whole, outside aiohttp's hands; between `begin` and `end`."""
        received_ms = self._clock.now_ms()
        try:
            body = await spool.whole()
            reply = await self._keep(admitted, body, body, received_ms, spool)
        except StorageError as exc:
            reply = self._not_stored(admitted.target, exc)
        finally:
            await spool.discard()
        return self._finish(admitted, reply)

    def spool(self, admitted: Admitted) -> Spool:
        """Return where the body of a segment goes while it arrives. Manifests are small: they stay in memory."""
        return Spool(self._intake.incoming if isinstance(admitted.target.name, SegmentKey) else None)

    def stalled(self, admitted: Admitted) -> Reply:
        """Return the answer to a body of which no byte came for too long."""
        return self._finish(admitted, self._stalled())

    def truncated(self, admitted: Admitted) -> Reply:
        """Return what becomes of a body whose connection ended before it did."""
        return self._finish(admitted, _truncated())

    @property
    def body_idle_ms(self) -> int:
        """How long a body may pause."""
        return self._limits.body_idle_ms

    async def discard(self, spool: Spool) -> None:
        """Leave nothing of a body that did not come to its end, and `end`."""
        try:
            await spool.discard()
        finally:
            self.end()

    def begin(self) -> None:
        """Count an upload in progress."""
        self._change_uploads(+1)

    def end(self) -> None:
        """Count it no more."""
        self._change_uploads(-1)

    def _finish(self, admitted: Admitted, reply: Reply) -> Reply:
        return reply._replace(facts={**_facts(admitted.target), **reply.facts}, close=self._is_finishing)

    def _change_uploads(self, by: int) -> None:
        self._uploads_count += by
        self._metrics.uploads_in_progress.set(self._uploads_count)
        if self._uploads_count == 0:
            self._idle.set()
        else:
            self._idle.clear()

    def _target(self, path: str) -> PublishTarget | Reply:
        event_id, rest = split_path(path)
        pipeline_id, text = split_path(rest)
        programme = self._programmes.get(event_id)
        if programme is None:
            known = ", ".join(self._programmes.ids)
            return problem(
                Problem.UNKNOWN_EVENT, f"No event {event_id!r}; publish to /EVENT/PIPELINE/NAME. Events: {known}."
            )
        pipeline = programme.event.pipeline(pipeline_id)
        if pipeline is None:
            known = ", ".join(each.id for each in programme.event.pipelines)
            return problem(
                Problem.UNKNOWN_PIPELINE,
                f"Event {event_id!r} has no pipeline {pipeline_id!r}; it has {known}.",
                event=event_id,
            )
        return PublishTarget(programme.event, pipeline, text, programme.names.parse(text))

    def _check_head(self, head: UploadHead, target: PublishTarget) -> Declared | Reply:
        """Return what the packager declared, or why it is refused before its body comes."""
        if target.name is None:
            examples = ", ".join(sorted({rendition.media.text for rendition in target.event.renditions}))
            detail = f"{target.text!r} is no name of event {target.event.id!r}; its segments are named {examples}."
            return problem(Problem.UNKNOWN_NAME, detail, event=target.event.id)
        headers = head.headers
        if "Content-Range" in headers or "Range" in headers:
            return problem(Problem.PARTIAL_UPLOAD, "Send the whole object in one PUT, without a byte range.")
        # ffmpeg sends none.
        if "Content-Type" in headers and not is_media_type(headers["Content-Type"]):
            detail = f"Content-Type {headers['Content-Type']!r} is not media; send video/mp4 or none at all."
            return problem(Problem.NOT_MEDIA, detail)
        try:
            declared = parse_declared(headers)
        except BadHeader as exc:
            return problem(Problem.BAD_HEADER, f"{exc}.")
        if _content_coding(headers) not in CODINGS:
            detail = f"Content-Encoding {headers['Content-Encoding']!r} is not known; send gzip, or none at all."
            return problem(Problem.CODING, detail, headers={"Accept-Encoding": "gzip"})
        if (head.length_bytes or 0) > self._limit_bytes(target):
            return self._too_large(target)
        if isinstance(target.name, SegmentKey):
            refusal = self._intake.refuse_by_clock(target.name)
            if refusal is not None:
                return upload_answers.refused(target, target.name, refusal, self._clock.now_ms())
        number = target.name.number if isinstance(target.name, SegmentKey) else None
        if not self._limits.has_space(target.event, number):
            detail = "The disk of this origin is nearly full: it takes no old segments now, and soon none at all."
            return problem(Problem.DISK_FULL, detail)
        return declared

    async def _take(self, request: web.BaseRequest, head: UploadHead, admitted: Admitted) -> Reply:
        target, coding = admitted.target, _content_coding(head.headers)
        # What is coded is not what is to be stored.
        spool = self.spool(admitted) if coding == "identity" else Spool(None)
        try:
            if _expects_continue(head):
                await send_continue(request)
            await receive_body(request, self._limit_bytes(target), self._limits.body_idle_ms, spool.take)
            received_ms = self._clock.now_ms()
            body = sent = await spool.whole()
            if sent and coding == "gzip":
                body = await asyncio.to_thread(decode_gzip, sent, self._limit_bytes(target))
            return await self._keep(admitted, body, sent, received_ms, spool)
        except BodyTooLarge:
            return self._too_large(target)
        except BodyStalled:
            return self._stalled()
        except BodyTruncated:
            return _truncated()
        except StorageError as exc:
            return self._not_stored(target, exc)
        finally:
            await spool.discard()

    async def _keep(self, admitted: Admitted, body: Body, sent: Body, received_ms: int, spool: Spool) -> Reply:
        target, declared = admitted
        if not body:
            detail = "An empty body opens a publishing point; nothing was stored."
            return json_reply(200, "empty", {"outcome": "empty", "detail": detail})
        if declared.digests and not await asyncio.to_thread(declared.digests_match, sent):
            detail = "The body is not the one Content-Digest speaks of; nothing was kept."
            return problem(Problem.DIGEST_MISMATCH, detail)
        if isinstance(target.name, ManifestName):
            return await self._take_manifest(target, target.name, body)
        assert target.name is not None, "_check_head refused names that mean nothing"
        upload = Upload(
            target.name,
            target.pipeline.id,
            body,
            received_ms,
            declared.defects,
            declared.score,
            spool.incoming,
        )
        return await self._take_segment(target, upload)

    def _not_stored(self, target: PublishTarget, exc: StorageError) -> Reply:
        self._metrics.observe_fault(exc)
        log.error("upload not stored", extra=fields(event=target.event.id, name=target.text, error=str(exc)))
        if isinstance(exc, StorageFull):
            return problem(Problem.DISK_FULL, "The disk of this origin is full; nothing was kept.")
        return problem(
            Problem.STORAGE, "The disk of this origin failed; it cannot promise to keep this. Send it again."
        )

    def _stalled(self) -> Reply:
        idle_ms = self._limits.body_idle_ms
        return problem(Problem.BODY_STALLED, f"No byte came for {idle_ms} ms (limits.body_idle); nothing was kept.")

    async def _take_manifest(self, target: PublishTarget, name: ManifestName, body: Body) -> Reply:
        renewed = await self._intake.publish_manifest(target.event.id, target.pipeline.id, name.name, body)
        outcome = "renewed" if renewed else "stored"
        document = {"outcome": outcome, "event": target.event.id, "pipeline": target.pipeline.id, "bytes": len(body)}
        return json_reply(200 if renewed else 201, f"manifest-{outcome}", document)

    async def _take_segment(self, target: PublishTarget, upload: Upload) -> Reply:
        outcome = await self._intake.publish(upload)
        if isinstance(outcome, Stored | Unchanged):
            reply = upload_answers.taken(target, upload, outcome, self._catalog.choice(upload.key))
            defects = [defect.name for defect in outcome.candidate.defects]
            return reply._replace(facts={"defects": defects}) if defects else reply
        return upload_answers.refused(target, upload.key, outcome, self._clock.now_ms())

    def _limit_bytes(self, target: PublishTarget) -> int:
        is_manifest = isinstance(target.name, ManifestName)
        return self._limits.manifest_bytes if is_manifest else self._limits.segment_bytes

    def _too_large(self, target: PublishTarget) -> Reply:
        setting = "limits.manifest_bytes" if isinstance(target.name, ManifestName) else "limits.segment_bytes"
        return problem(Problem.TOO_LARGE, f"The body is larger than {self._limit_bytes(target)} bytes ({setting}).")


def _facts(target: PublishTarget) -> dict[str, object]:
    facts: dict[str, object] = {"event": target.event.id, "pipeline": target.pipeline.id}
    if isinstance(target.name, SegmentKey):
        return facts | {"rendition": target.name.rendition_id, "number": target.name.number}
    return facts


def _truncated() -> Reply:
    detail = "The connection or the encoding ended before the body did; nothing was kept. Send it again."
    return problem(Problem.TRUNCATED, detail)


def _content_coding(headers: HeaderLines) -> str:
    return ", ".join(headers.getall("Content-Encoding", ["identity"])).strip().lower()


def _expects_continue(head: UploadHead) -> bool:
    return "Expect" in head.headers and head.headers["Expect"].lower() == "100-continue"
