"""What a packager is told, asked over plain sockets: every trap that real packagers were seen to set."""

import asyncio
import base64
import gzip
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.integration.wire import (
    TEXT_RENDITION,
    Answer,
    Connection,
    Framing,
    ask,
    chunk,
    head,
    in_threads,
    key_of,
    path_of,
    upload,
)
from tests.support.mp4 import SYNC, Sample, fragment, init_segment, trak
from tests.support.origins import EVENT, Running, make_settings, running_origin
from tests.support.packagers import AUDIO_FRAME_SAMPLES, AUDIO_TICKS, number_now

SEGMENT_BYTES_MAX: Final = 1024 * 1024
DVR_SEGMENTS: Final = 30 * 60 * 1000 // 1920
EXPLAINED: Final = "/api/v1/events/derby/segments"
BODY: Final = b"moof" * 1000
OTHER: Final = b"mdat" * 1000
# The server would wait limits.body_idle, 15 s, for a body that does not come.
CLOSED_S_MAX: Final = 5

DERBY: Final = EVENT | {"renditions": [*EVENT["renditions"], TEXT_RENDITION]}
TIMED_EVENT: Final = {
    "id": "timed",
    "segment_duration": "1920ms",
    "media": "$RepresentationID$-$Time$.vtt",
    "renditions": [{"id": "cc", "kind": "text", "timescale": 48_000, "bandwidth": 1_000}],
    "pipelines": [{"id": "a"}],
}

for_each_framing = pytest.mark.parametrize("framing", list(Framing), ids=lambda framing: framing.value)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    limits = {"segment_bytes": "1MiB", "manifest_bytes": "64KiB"}
    async with running_origin(make_settings(tmp_path, limits=limits, events=[DERBY, TIMED_EVENT])) as running:
        yield running


async def tell(running: Running, request: bytes) -> Answer:
    """Send one request to the publish side."""
    return await asyncio.to_thread(ask, running.origin.publish_address, request)


async def fetch(running: Running, path: str, method: str = "GET") -> Answer:
    """Send one request to the deliver side."""
    return await asyncio.to_thread(ask, running.origin.deliver_address, head(method, path))


def stored_files(running: Running) -> list[str]:
    folder = Path(running.origin.settings.storage.path) / "bodies"
    return [path.name for path in folder.rglob("*") if path.is_file()]


def digest_field(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


# -- taken


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "video/mp4", "text/vtt", ""])
async def test_a_segment_is_taken_whatever_media_type_it_has_or_lacks(
    running: Running, content_type: str | None
) -> None:
    fields = {} if content_type is None else {"Content_Type": content_type}
    answer = await tell(running, upload(path_of(number_now()), BODY, Framing.LENGTH, **fields))
    assert (answer.status, answer.json["outcome"], answer.json["bytes"]) == (201, "stored", len(BODY))


async def test_post_means_put(running: Running) -> None:
    path = path_of(number_now())
    posted = await tell(running, upload(path, BODY, method="POST"))
    put = await tell(running, upload(path, BODY))
    assert (posted.status, put.status) == (201, 200)
    assert put.json["outcome"] == "unchanged"
    assert posted.json["etag"] == put.json["etag"]


@pytest.mark.parametrize(
    "framing", [{"Content_Length": 0}, {"Transfer_Encoding": "chunked"}, {}], ids=["length", "chunked", "neither"]
)
@pytest.mark.parametrize("name", ["v720/init.mp4", "cc/{now}.vtt", "live.mpd"], ids=["init", "segment", "manifest"])
async def test_an_empty_first_request_is_welcomed_and_stores_nothing(
    running: Running, name: str, framing: dict[str, str | int]
) -> None:
    path = "/derby/a/" + name.format(now=number_now())
    request = head("PUT", path, **framing) + (chunk(b"") if "Transfer_Encoding" in framing else b"")
    empty = await tell(running, request)
    assert (empty.status, empty.json["outcome"]) == (200, "empty")
    assert not stored_files(running)


async def test_delete_is_answered_and_deletes_nothing(running: Running) -> None:
    number = number_now()
    await tell(running, upload(path_of(number), BODY))
    # ffmpeg's DELETE is chunked and empty, shaka-packager's has no body and comes twice.
    for request in (
        head("DELETE", path_of(number), Transfer_Encoding="chunked") + chunk(b""),
        head("DELETE", path_of(number)),
        head("DELETE", path_of(number)),
        head("DELETE", "/derby/a/never-heard-of.m4s"),
    ):
        assert (await tell(running, request)).status == 200
    segment = await fetch(running, f"/derby/cc/{number}.vtt")
    assert (segment.status, segment.body) == (200, BODY)


async def test_the_same_bytes_again_change_nothing_and_other_bytes_come_too_late_once_chosen(
    running: Running,
) -> None:
    number = number_now()
    first = await tell(running, upload(path_of(number, "a"), BODY))
    assert (first.status, first.json["chosen"]) == (201, True)
    again = await tell(running, upload(path_of(number, "a"), BODY))
    assert (again.status, again.json["outcome"]) == (200, "unchanged")
    changed = await tell(running, upload(path_of(number, "a"), OTHER))
    assert (changed.status, changed.json["type"]) == (409, "urn:live-origin:problem:already-chosen")
    assert (await fetch(running, f"/derby/cc/{number}.vtt")).body == BODY
    assert len(stored_files(running)) == 1


async def test_other_bytes_take_the_place_of_a_copy_that_is_not_chosen(running: Running) -> None:
    number = number_now()
    await tell(running, upload(path_of(number, "a"), BODY))
    copy = await tell(running, upload(path_of(number, "b"), BODY + b"1"))
    assert (copy.status, copy.json["chosen"], copy.json["choice"]["pipeline"]) == (201, False, "a")
    changed = await tell(running, upload(path_of(number, "b"), BODY + b"2"))
    assert (changed.status, changed.json["outcome"]) == (200, "replaced")
    (candidate,) = (
        candidate for candidate in running.origin.catalog.candidates(key_of(number)) if candidate.pipeline_id == "b"
    )
    assert f'"{candidate.digest}"' == changed.json["etag"]
    assert len(stored_files(running)) == 2


@for_each_framing
async def test_a_renewed_init_segment_is_kept_and_the_one_that_players_have_stays(
    running: Running, framing: Framing
) -> None:
    former, renewed = (init_segment(trak(), brands=brands) for brands in (("cmfc",), ("cmfc", "iso6")))
    uploads = [upload("/derby/a/v720/init.mp4", body, framing) for body in (former, former, renewed)]
    answers = [await tell(running, each) for each in uploads]
    assert [(each.status, each.json["outcome"]) for each in answers] == [
        (201, "stored"),
        (200, "unchanged"),
        (200, "renewed"),
    ]
    assert (answers[2].json["defects"], answers[2].json["chosen"]) == ([], False)
    assert (await fetch(running, "/derby/v720/init.mp4")).body == former
    explained = await asyncio.to_thread(ask, running.origin.admin_address, head("GET", f"{EXPLAINED}/v720/init"))
    assert [copy["etag"] for copy in explained.json["candidates"]] == [answers[2].json["etag"]]


async def test_an_init_segment_that_players_cannot_go_on_with_is_delivered_once_every_pipeline_has_it(
    running: Running,
) -> None:
    former, changed = (init_segment(trak(timescale=ticks)) for ticks in (90_000, 45_000))
    now = number_now()
    for pipeline_id in "ab":
        assert (await tell(running, upload(f"/derby/{pipeline_id}/v720/init.mp4", former))).status == 201
        for number in range(now - 3, now):  # who makes no segments is not asked
            segment = fragment([Sample(3_600, 100, SYNC)] * 48, number * 48 * 3_600)
            answer = await tell(running, upload(f"/derby/{pipeline_id}/v720/{number}.m4s", segment))
            assert (answer.status, answer.json["defects"]) == (201, [])
    delivered = []
    for pipeline_id in "ab":
        answer = await tell(running, upload(f"/derby/{pipeline_id}/v720/init.mp4", changed))
        assert (answer.status, answer.json["outcome"]) == (200, "renewed")
        delivered.append(await fetch(running, "/derby/v720/init.mp4"))
    assert [each.body for each in delivered] == [former, changed]
    assert delivered[1].headers["Live-Origin-Choice"] == "a;rule=new-generation, b;lost=order"


async def test_a_late_segment_fills_its_hole(running: Running) -> None:
    number = number_now() - 20
    hole = await fetch(running, f"/derby/cc/{number}.vtt")
    assert (hole.status, hole.json["type"]) == (410, "urn:live-origin:problem:never-published")
    answer = await tell(running, upload(path_of(number), BODY))
    assert answer.status == 201
    assert answer.json["late_ms"] > 18 * 1920
    assert (await fetch(running, f"/derby/cc/{number}.vtt")).body == BODY


async def test_a_right_digest_is_accepted_and_one_of_an_unknown_kind_ignored(running: Running) -> None:
    number = number_now()
    right = await tell(running, upload(path_of(number), BODY, Content_Digest=digest_field(BODY)))
    unknown = await tell(running, upload(path_of(number - 1), BODY, Content_Digest="md5=:AAAA:"))
    assert (right.status, unknown.status) == (201, 201)


@for_each_framing
async def test_a_wrong_digest_leaves_no_trace(running: Running, framing: Framing) -> None:
    number = number_now()
    answer = await tell(running, upload(path_of(number), BODY, framing, Content_Digest=digest_field(OTHER)))
    assert (answer.status, answer.json["type"]) == (400, "urn:live-origin:problem:digest-mismatch")
    assert not stored_files(running)
    assert not running.origin.catalog.candidates(key_of(number))
    assert (await tell(running, upload(path_of(number), BODY, framing))).status == 201


@for_each_framing
async def test_a_manifest_may_come_compressed_and_is_delivered_plain(running: Running, framing: Framing) -> None:
    manifest = b"<MPD>" + b"<S t='0'/>" * 500 + b"</MPD>"
    packed = gzip.compress(manifest)
    answer = await tell(running, upload("/derby/a/live.mpd", packed, framing, Content_Encoding="gzip"))
    assert answer.status == 201
    delivered = await fetch(running, "/derby/live.mpd")
    assert (delivered.status, delivered.body) == (200, manifest)
    assert "Content-Encoding" not in delivered.headers
    assert delivered.headers["Content-Type"] == "application/dash+xml"


async def test_time_in_a_name_may_sit_a_codec_frame_off_the_grid(running: Running) -> None:
    number = number_now() - 1
    name = f"cc-{number * AUDIO_TICKS - AUDIO_FRAME_SAMPLES}.vtt"
    answer = await tell(running, upload(f"/timed/a/{name}", BODY))
    assert (answer.status, answer.json["number"]) == (201, number)
    for time_ticks in (number * AUDIO_TICKS - AUDIO_FRAME_SAMPLES, number * AUDIO_TICKS):
        segment = await fetch(running, f"/timed/cc-{time_ticks}.vtt")
        assert (segment.status, segment.body) == (200, BODY)


# -- refused


@dataclass(frozen=True)
class Refusal:
    """An upload that is refused by what its head says.

    Args:
        path: `{now}` stands for the number on air, `{old}` for one that has left the window, `{far}` for one
            that is too far ahead.
    """

    id: str
    status: int
    kind: str
    path: str = "/derby/a/cc/{now}.vtt"
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = BODY


REFUSALS: Final = [
    Refusal("unknown-event", 404, "unknown-event", "/nowhere/a/cc/{now}.vtt"),
    Refusal("unknown-pipeline", 404, "unknown-pipeline", "/derby/z/cc/{now}.vtt"),
    Refusal("unknown-rendition", 404, "unknown-name", "/derby/a/c9/{now}.vtt"),
    Refusal("unknown-name", 404, "unknown-name", "/derby/a/../../etc/passwd"),
    Refusal("ahead-of-the-clock", 409, "too-far-ahead", "/derby/a/cc/{far}.vtt"),
    Refusal("out-of-the-window", 410, "outside-window", "/derby/a/cc/{old}.vtt"),
    Refusal("not-media", 415, "not-media", fields={"Content_Type": "text/html"}),
    Refusal("part-by-range", 400, "partial-upload", fields={"Range": "bytes=0-3999"}),
    Refusal("part-by-content-range", 400, "partial-upload", fields={"Content_Range": "bytes 0-3999/4000"}),
    Refusal("bad-defects", 400, "bad-header", fields={"Live_Origin_Defects": "short;;"}),
    Refusal("bad-score", 400, "bad-header", fields={"Live_Origin_Score": "101"}),
    Refusal("bad-digest", 400, "bad-header", fields={"Content_Digest": "sha-256=abc"}),
    Refusal("too-large", 413, "too-large", body=bytes(SEGMENT_BYTES_MAX + 1)),
    Refusal("manifest-too-large", 413, "too-large", "/derby/a/live.mpd", body=bytes(64 * 1024 + 1)),
]

for_each_refusal = pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.id)


def refused_path(refusal: Refusal) -> str:
    now = number_now()
    return refusal.path.format(now=now, far=now + 3, old=now - DVR_SEGMENTS - 5)


@for_each_refusal
@for_each_framing
async def test_a_refused_upload_is_told_why_and_its_connection_goes_on(
    running: Running, refusal: Refusal, framing: Framing
) -> None:
    """ffmpeg exits when a persistent connection is closed, and takes no notice of a status."""
    request = upload(refused_path(refusal), refusal.body, framing, **refusal.fields)

    def publish() -> tuple[Answer, Answer]:
        with Connection(running.origin.publish_address) as connection:
            connection.send(request)
            refused = connection.receive()
            connection.send(upload(path_of(number_now()), OTHER))
            return refused, connection.receive()

    refused, following = await asyncio.to_thread(publish)
    assert (refused.status, refused.json["type"]) == (refusal.status, f"urn:live-origin:problem:{refusal.kind}")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json["detail"]
    assert following.status == 201
    assert len(stored_files(running)) == 1


async def test_who_asks_first_is_refused_without_sending_the_body(running: Running) -> None:
    """All of them at once, as each takes the second that the origin waits for impatient clients."""

    def publish(refusal: Refusal) -> tuple[int, str, bool, bool]:
        fields = refusal.fields | {"Expect": "100-continue", "Content_Length": str(len(refusal.body))}
        with Connection(running.origin.publish_address) as connection:
            connection.send(head("PUT", refused_path(refusal), **fields))
            answer = connection.receive()
            answered_s = time.monotonic()
            closed = connection.at_end()
            soon = time.monotonic() - answered_s < CLOSED_S_MAX
            return answer.status, answer.headers["Connection"], closed, soon

    found = await in_threads([partial(publish, refusal) for refusal in REFUSALS])
    # What the client sends next on such a connection could be the body or another request: it must not go on.
    assert found == [(refusal.status, "close", True, True) for refusal in REFUSALS]


@for_each_framing
async def test_who_asks_first_and_may_sends_the_body_then(running: Running, framing: Framing) -> None:
    path = path_of(number_now())
    request = upload(path, BODY, framing, Expect="100-continue")
    head_bytes = request.index(b"\r\n\r\n") + 4

    def publish() -> tuple[Answer, Answer, Answer]:
        with Connection(running.origin.publish_address) as connection:
            connection.send(request[:head_bytes])
            go_on = connection.receive()
            connection.send(request[head_bytes:])
            stored = connection.receive()
            connection.send(upload(path, BODY))
            return go_on, stored, connection.receive()

    go_on, stored, again = await asyncio.to_thread(publish)
    assert [go_on.status, stored.status, again.status] == [100, 201, 200]


async def test_a_body_of_unknown_length_is_refused_when_it_has_become_too_large(running: Running) -> None:
    path = path_of(number_now())
    size = SEGMENT_BYTES_MAX // 4
    request = head("PUT", path, Transfer_Encoding="chunked") + chunk(bytes(size)) * 5 + chunk(b"")
    answer = await tell(running, request)
    assert answer.status == 413
    assert not stored_files(running)


async def test_other_methods_are_told_which_there_are(running: Running) -> None:
    answer = await tell(running, head("GET", path_of(number_now())))
    assert answer.status == 405
    assert answer.headers["Allow"] == "PUT, POST, DELETE"
