"""Uploads that are refused over HTTP: with which status, in which words, and with nothing kept."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.origin.site import NOW_MS, NUMBER, Answer, Site, due_ms, open_site, until
from tests.support.origins import SEGMENT_MS, journal_text

BODY = b"the whole segment"
ETAG = f'"{hashlib.sha256(BODY).hexdigest()[:32]}"'
DIGEST = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
CACHE_HEADERS = {"Cache-Control", "Live-Origin-TTL", "ETag", "Expires"}


EXPIRED = (NOW_MS - 1_800_000 - 1_000) // SEGMENT_MS - 1  # newest segment that was due 30 min ago or earlier
REFUSALS: list[tuple[str, str, dict[str, str], int, str]] = [
    ("unknown-event", "ascot/a/v720/1000.m4s", {}, 404, "unknown-event"),
    ("no-event", "", {}, 404, "unknown-event"),
    ("version-is-for-caches", "derby@7/a/v720/1000.m4s", {}, 404, "unknown-event"),
    ("unknown-pipeline", "derby/z/v720/1000.m4s", {}, 404, "unknown-pipeline"),
    ("no-pipeline", "derby", {}, 404, "unknown-pipeline"),
    ("unknown-rendition", "derby/a/v999/1000.m4s", {}, 404, "unknown-name"),
    ("no-name", "derby/a", {}, 404, "unknown-name"),
    ("number-with-zeros", "derby/a/v720/01000.m4s", {}, 404, "unknown-name"),
    ("number-that-is-none", "derby/a/v720/next.m4s", {}, 404, "unknown-name"),
    ("other-extension", "derby/a/v720/1000.mp4", {}, 404, "unknown-name"),
    ("climbing", "derby/a/../../etc/passwd", {}, 404, "unknown-name"),
    ("hidden-manifest", "derby/a/.live.mpd", {}, 404, "unknown-name"),
    ("byte-range", "derby/a/v720/1000.m4s", {"Content-Range": "bytes 0-5/17"}, 400, "partial-upload"),
    ("range", "derby/a/v720/1000.m4s", {"Range": "bytes=0-5"}, 400, "partial-upload"),
    ("bad-defects", "derby/a/v720/1000.m4s", {"Live-Origin-Defects": '"short"'}, 400, "bad-header"),
    ("bad-score", "derby/a/v720/1000.m4s", {"Live-Origin-Score": "101"}, 400, "bad-header"),
    ("bad-digest", "derby/a/v720/1000.m4s", {"Content-Digest": "sha-256=abc"}, 400, "bad-header"),
    ("other-digest", "derby/a/v720/1000.m4s", {"Content-Digest": "sha-256=:AAAA:"}, 400, "digest-mismatch"),
    ("cut-gzip", "derby/a/v720/1000.m4s", {"Content-Encoding": "gzip"}, 400, "truncated"),
    ("brotli", "derby/a/v720/1000.m4s", {"Content-Encoding": "br"}, 415, "coding"),
    ("gzip-twice", "derby/a/v720/1000.m4s", {"Content-Encoding": "gzip, gzip"}, 415, "coding"),
    ("html", "derby/a/v720/1000.m4s", {"Content-Type": "text/html"}, 415, "not-media"),
    ("form", "derby/a/live.mpd", {"Content-Type": "multipart/form-data; boundary=x"}, 415, "not-media"),
    ("far-ahead", "derby/a/v720/1004.m4s", {}, 409, "too-far-ahead"),
    ("left-the-window", f"derby/a/v720/{EXPIRED}.m4s", {}, 410, "outside-window"),
]
every_refusal = pytest.mark.parametrize(
    ("path", "headers", "status", "slug"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS]
)


async def send(site: Site, path: str, headers: dict[str, str], **options: Any) -> Answer:
    options = {"skip_auto_headers": ["Content-Type"], "headers": headers, "data": BODY} | options
    return await site.ask("PUT", f"{site.running.publish}/{path}", **options)


@every_refusal
async def test_what_cannot_be_taken_is_refused_with_the_reason(
    site: Site, tmp_path: Path, path: str, headers: dict[str, str], status: int, slug: str
) -> None:
    answer = await send(site, path, headers)
    assert (answer.status, answer.slug) == (status, slug)
    assert answer.document["status"] == status
    assert len(answer.document["detail"]) > 20
    assert not CACHE_HEADERS & answer.headers.keys()
    assert site.stored_files == []
    assert not site.bodies.counts
    assert journal_text(tmp_path / "data") == ""


@every_refusal
async def test_who_asks_before_sending_is_refused_without_sending_and_cut_off(
    site: Site, path: str, headers: dict[str, str], status: int, slug: str
) -> None:
    """A client that was refused sends no body: without closing, its next request would be read as one."""
    sent: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        sent.append(BODY)
        yield BODY

    answer = await send(site, path, headers, data=body(), expect100=True)
    assert (answer.status, answer.slug) == (status, slug)
    if slug not in ("digest-mismatch", "truncated"):  # which only the body tells
        assert sent == []
        assert answer.headers["Connection"] == "close"


async def test_who_asks_before_sending_may_send(site: Site) -> None:
    answer = await send(site, f"derby/a/v720/{NUMBER}.m4s", {}, expect100=True)
    assert (answer.status, answer.document["outcome"]) == (201, "stored")
    assert "Connection" not in answer.headers


async def test_who_sends_at_once_keeps_the_connection_whatever_the_answer(site: Site) -> None:
    """Closing it would make ffmpeg exit in persistent mode."""
    for path in ("ascot/a/v720/1000.m4s", "derby/a/v720/1004.m4s", "derby/a/v720/1000.m4s"):
        assert "Connection" not in (await send(site, path, {})).headers


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "OPTIONS"])
async def test_other_methods_are_told_which_ones_there_are(site: Site, method: str) -> None:
    answer = await site.put(NUMBER, method=method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "PUT, POST, DELETE"


async def test_who_sends_an_unknown_coding_is_told_which_one_is_known(site: Site) -> None:
    answer = await send(site, f"derby/a/v720/{NUMBER}.m4s", {"Content-Encoding": "br"})
    assert (answer.status, answer.headers["Accept-Encoding"]) == (415, "gzip")


async def test_a_number_may_be_one_segment_ahead_and_no_more(site: Site) -> None:
    """Segment n may come from the start of segment n - 1 on, which ffmpeg needs that opens a PUT early."""
    opens_ms = (NUMBER + 3) * SEGMENT_MS  # of segment 1004
    site.clock.move_to(opens_ms - 1)
    answer = await site.put(NUMBER + 4)
    assert (answer.status, answer.slug) == (409, "too-far-ahead")
    assert answer.document["opens_ms"] == opens_ms
    assert answer.document["segment_number"] == NUMBER + 4
    site.clock.move_to(opens_ms)
    assert (await site.put(NUMBER + 4)).status == 201


async def test_the_window_ends_in_the_ms_it_says(site: Site) -> None:
    site.clock.move_to(NOW_MS + 1_800_000 - 1)
    assert (await site.put(NUMBER)).status == 201
    site.clock.move_to(NOW_MS + 1_800_000)
    answer = await site.put(NUMBER, "b")
    assert (answer.status, answer.slug) == (410, "outside-window")
    assert "expired" in answer.document["detail"]


ENDS = {"start": "1970-01-01T00:10:00Z", "end": "1970-01-01T00:32:00Z"}  # segments 312 to 999 exist
OUTSIDE = [(311, "before-start"), (1000, "after-end")]


@pytest.mark.parametrize(("number", "word"), OUTSIDE)
async def test_what_is_not_part_of_the_event_is_refused(tmp_path: Path, number: int, word: str) -> None:
    async with open_site(tmp_path, event=ENDS, now_ms=due_ms(999)) as site:
        answer = await site.put(number)
        assert (answer.status, answer.slug) == (410, "outside-window")
        assert f"{word}: the event takes 312 to 999," in answer.document["detail"]
        assert (await site.put(999)).status == 201


async def test_an_event_that_ends_with_segment_0_says_so(tmp_path: Path) -> None:
    async with open_site(tmp_path, event={"end": "1970-01-01T00:00:01Z"}, now_ms=3_000) as site:
        assert "the event takes 0 to 0," in (await site.put(1)).document["detail"]


async def test_other_bytes_than_a_copy_already_chosen_are_refused_and_change_nothing(site: Site) -> None:
    await site.put(NUMBER, body=BODY)
    answer = await site.put(NUMBER, body=b"other bytes")
    assert (answer.status, answer.slug) == (409, "already-chosen")
    assert answer.document["etag"] == ETAG
    assert (await site.get(NUMBER)).body == BODY


LIMITS: dict[str, Any] = {"limits": {"segment_bytes": "1KiB", "manifest_bytes": "2KiB", "uploads": 2}}
SIZES = [
    ("segment", NUMBER, 1_024, "limits.segment_bytes"),
    ("init", "v720/init.mp4", 1_024, "limits.segment_bytes"),
    ("manifest", "live.mpd", 2_048, "limits.manifest_bytes"),
]


async def chunked(body: bytes) -> AsyncIterator[bytes]:
    yield body


@pytest.mark.parametrize("has_length", [True, False])
@pytest.mark.parametrize(
    ("name", "limit_bytes", "setting"), [case[1:] for case in SIZES], ids=[case[0] for case in SIZES]
)
async def test_a_body_may_be_as_large_as_its_limit(
    tmp_path: Path, name: str | int, limit_bytes: int, setting: str, has_length: bool
) -> None:
    async with open_site(tmp_path, **LIMITS) as site:
        for size_bytes, status in ((limit_bytes + 1, 413), (limit_bytes, 201)):
            body = b"x" * size_bytes
            answer = await site.put(name, body=body if has_length else chunked(body))
            assert answer.status == status
            if status == 413:
                assert answer.slug == "too-large"
                assert answer.document["detail"] == f"The body is larger than {limit_bytes} bytes ({setting})."
                assert site.stored_files == []


async def test_no_more_uploads_are_in_progress_than_allowed(tmp_path: Path) -> None:
    async with open_site(tmp_path, **LIMITS) as site:
        with site.bodies.gate("write"):
            uploads = [asyncio.create_task(site.put(NUMBER - index)) for index in range(2)]
            await until(lambda: site.bodies.counts["write"] == 2)
            assert await site.metric("origin_uploads_in_progress") == 2
            answer = await site.put(NUMBER - 5)
            assert (answer.status, answer.slug, answer.headers["Retry-After"]) == (503, "overloaded", "1")
            asked = await send(site, f"derby/a/v720/{NUMBER - 5}.m4s", {}, expect100=True)
            assert (asked.status, asked.headers["Connection"]) == (503, "close")
        assert [upload.status for upload in await asyncio.gather(*uploads)] == [201, 201]
        assert (await site.put(NUMBER - 5)).status == 201
        assert await site.metric("origin_uploads_in_progress") == 0


async def test_a_body_that_pauses_too_long_is_refused(tmp_path: Path) -> None:
    never = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield b"beginning"
        await never.wait()

    event = {"segment_duration": "100ms", "hold_ahead": "100ms", "selection": {"prefer_wait": "50ms"}}
    async with open_site(tmp_path, now_ms=100_000, event=event, limits={"body_idle": "201ms"}) as site:
        answer = await site.put(990, body=stalling())
        assert (answer.status, answer.slug) == (408, "body-stalled")
        assert site.stored_files == []
        assert await site.metric("origin_uploads_in_progress") == 0


CUT_UPLOADS = [
    ("length", b"Content-Length: 100\r\n\r\nbeginning"),
    ("chunk", b"Transfer-Encoding: chunked\r\n\r\n64\r\nbeginning"),
    ("between-chunks", b"Transfer-Encoding: chunked\r\n\r\n9\r\nbeginning\r\n"),
]


@pytest.mark.parametrize("rest", [case[1] for case in CUT_UPLOADS], ids=[case[0] for case in CUT_UPLOADS])
async def test_a_body_that_ends_early_leaves_no_trace(site: Site, tmp_path: Path, rest: bytes) -> None:
    _, writer = await asyncio.open_connection(*site.origin.publish_address)
    writer.write(f"PUT /derby/a/v720/{NUMBER}.m4s HTTP/1.1\r\nHost: origin\r\n".encode() + rest)
    await writer.drain()
    while not await site.metric("origin_uploads_in_progress"):
        pass  # the metric is asked for over the network
    writer.close()
    while not await site.metric("origin_publish_requests_total", outcome="truncated"):
        pass
    assert site.stored_files == []
    assert await site.metric("origin_uploads_in_progress") == 0
