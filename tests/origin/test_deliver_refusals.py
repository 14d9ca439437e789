"""Requests that arithmetic alone refuses: for how long, in which words, and without touching storage."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.origin.site import (
    EXPIRED,
    FOR_A_DAY,
    FOR_A_SEGMENT,
    FOR_SOME_SECONDS,
    HELD_BEFORE_DUE_MS,
    NOW_MS,
    NUMBER,
    WITH_ENDS,
    Site,
    due_ms,
    open_site,
)

BODY = b"0123456789" * 100

OPEN_END: dict[str, Any] = {}

# (event, number, status, slug, life time)
BY_NUMBER: list[tuple[str, dict[str, Any], int, int, str, tuple[str, str]]] = [
    ("future", OPEN_END, NUMBER + 5, 404, "too-early", ("public, max-age=5, stale-while-revalidate=0", "6600ms")),
    ("near-future", OPEN_END, NUMBER + 2, 404, "too-early", ("public, max-age=1, stale-while-revalidate=0", "840ms")),
    (
        "far-future",
        OPEN_END,
        10**18,
        404,
        "too-early",
        ("public, max-age=86399, stale-while-revalidate=0", "86400000ms"),
    ),
    ("given-up", OPEN_END, NUMBER - 6, 410, "never-published", FOR_A_SEGMENT),
    ("about-to-expire", OPEN_END, EXPIRED + 1, 410, "never-published", FOR_A_SEGMENT),
    ("expired", OPEN_END, EXPIRED, 410, "left-window", FOR_A_DAY),
    ("number-0", OPEN_END, 0, 410, "left-window", FOR_A_DAY),
    ("before-the-start", WITH_ENDS, 311, 404, "before-start", FOR_SOME_SECONDS),
    ("first-of-the-event", WITH_ENDS, 312, 410, "never-published", FOR_A_SEGMENT),
    ("after-the-end", WITH_ENDS, NUMBER + 1, 410, "after-end", FOR_A_DAY),
]
BY_NAME = [
    ("unknown-event", "ascot", f"v720/{NUMBER}.m4s", "unknown-event"),
    ("no-event", "", "", "unknown-event"),
    ("version-only", "@7", f"v720/{NUMBER}.m4s", "unknown-event"),
    ("unknown-rendition", "derby", f"v999/{NUMBER}.m4s", "unknown-name"),
    ("no-name", "derby", "", "unknown-name"),
    ("zeros-before-the-number", "derby", f"v720/0{NUMBER}.m4s", "unknown-name"),
    ("negative", "derby", "v720/-1.m4s", "unknown-name"),
    ("too-many-digits", "derby", f"v720/{'9' * 20}.m4s", "unknown-name"),
    ("other-extension", "derby", f"v720/{NUMBER}.mp4", "unknown-name"),
    ("pipeline-in-the-path", "derby", f"a/v720/{NUMBER}.m4s", "unknown-name"),
    ("climbing", "derby", "../../etc/passwd", "unknown-name"),
    ("climbing-manifest", "derby", "../live.mpd", "unknown-name"),
    ("endless", "derby", "v" * 600 + ".mpd", "unknown-name"),
    ("favicon", "favicon.ico", "", "unknown-event"),
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("event", "number", "status", "slug", "expected"), [case[1:] for case in BY_NUMBER], ids=[c[0] for c in BY_NUMBER]
)
async def test_a_number_that_cannot_be_there_is_refused_for_as_long_as_that_is_true(
    tmp_path: Path, method: str, event: dict[str, Any], number: int, status: int, slug: str, expected: tuple[str, str]
) -> None:
    async with open_site(tmp_path, event=event) as site:
        answer = await site.get(number, method=method)
        assert (answer.status, answer.life_time) == (status, expected)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Live-Origin-Due"] == str(due_ms(number))
        assert not answer.headers.keys() & {"Etag", "Last-Modified", "Retry-After"}
        if method == "GET":
            assert answer.slug == slug
            assert answer.document["segment_number"] == number
            assert answer.document["due_ms"] == due_ms(number)
            assert (answer.document["event"], answer.document["rendition"]) == ("derby", "v720")
        else:
            assert answer.body == b""
            assert int(answer.headers["Content-Length"]) > 0
        site.assert_untouched()
        assert site.origin.waiters.count == 0


@pytest.mark.parametrize(("event", "name", "slug"), [case[1:] for case in BY_NAME], ids=[case[0] for case in BY_NAME])
async def test_a_name_that_nothing_makes_is_refused_for_some_seconds(
    site: Site, event: str, name: str, slug: str
) -> None:
    answer = await site.get(name, event=event)
    assert (answer.status, answer.slug, answer.life_time) == (404, slug, FOR_SOME_SECONDS)
    site.assert_untouched()


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods_are_told_which_ones_there_are(site: Site, method: str) -> None:
    answer = await site.get(NUMBER, method=method)
    assert (answer.status, answer.slug, answer.headers["Allow"]) == (405, "method", "GET, HEAD")
    assert answer.life_time == FOR_SOME_SECONDS
    site.assert_untouched()


async def test_a_refusal_is_a_second_shorter_for_caches_that_round_and_exact_for_cdns(tmp_path: Path) -> None:
    async with open_site(tmp_path, now_ms=due_ms(NUMBER) - HELD_BEFORE_DUE_MS - 4_999) as site:
        headers = (await site.get(NUMBER)).headers
        assert headers["Cache-Control"] == "public, max-age=3, stale-while-revalidate=0"
        assert headers["CDN-Cache-Control"] == "max-age=4, stale-while-revalidate=0"
        assert headers["Live-Origin-TTL"] == "4999ms"


@pytest.mark.parametrize("before_ms", [100_000, 3_000, 1_500, 1_000, 1])
async def test_a_refusal_is_forgotten_when_the_segment_may_be_waited_for(tmp_path: Path, before_ms: int) -> None:
    """But for caches that count in whole seconds, and less than one was left."""
    opens_ms = due_ms(NUMBER) - HELD_BEFORE_DUE_MS
    async with open_site(tmp_path, now_ms=opens_ms - before_ms) as site:
        answer = await site.get(NUMBER)
        assert (answer.status, answer.headers["Live-Origin-TTL"]) == (404, f"{before_ms}ms")
        site.clock.move_to(opens_ms)
        held = await site.hold(NUMBER)
        await site.put(NUMBER, body=BODY)
        assert (await held).body == BODY


# The newest number is told where caches forget it within a segment.
TELLING = [("given-up", NUMBER - 7, True), ("far", NUMBER + 1_000, False), ("expired", EXPIRED, False)]


@pytest.mark.parametrize(("number", "is_told"), [case[1:] for case in TELLING], ids=[case[0] for case in TELLING])
async def test_the_live_edge_is_told_by_head_and_by_refusals_that_are_soon_forgotten(
    tmp_path: Path, number: int, is_told: bool
) -> None:
    async with open_site(tmp_path) as site:
        await site.put(NUMBER)
        assert (await site.get(number)).headers.get("Live-Origin-Edge") == (str(NUMBER) if is_told else None)
        assert (await site.get(number, method="HEAD")).headers["Live-Origin-Edge"] == str(NUMBER)


@pytest.mark.parametrize("name", [f"v720/{NUMBER}.m4s", f"v720/%3{NUMBER}.m4s"])  # by either lane
async def test_a_mistake_of_ours_says_where_else_to_ask(tmp_path: Path, name: str) -> None:
    peers = [{"region": "us-west-2", "url": "http://west.example"}]
    async with open_site(tmp_path, peers=peers) as site:
        with patch.object(site.origin.catalog, "choice", side_effect=RuntimeError):
            answer = await site.get(name)
        assert answer.status == 500
        assert answer.headers["Live-Origin-Backup"] == f'"http://west.example/derby/{name}";region="us-west-2"'


async def test_no_one_is_told_that_a_segment_is_given_up_while_a_copy_waits_for_a_better_one(site: Site) -> None:
    hole = NUMBER - 6
    for number in (hole - 2, hole - 1):
        await site.put(number, "a")
        await site.put(number, "b")
    assert (await site.get(hole)).slug == "never-published"
    await site.put(hole, "b", BODY)
    answer = await site.get(hole)
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers["Live-Origin-Choice"] == "b;rule=overdue, a;lost=absent"


async def test_a_segment_that_left_the_window_is_gone_although_its_bytes_are_there(site: Site) -> None:
    await site.put(NUMBER, body=BODY)
    site.clock.move_to(NOW_MS + 1_800_000 - 1)
    assert (await site.get(NUMBER)).status == 200
    site.clock.move_to(NOW_MS + 1_800_000)
    answer = await site.get(NUMBER)
    assert (answer.status, answer.slug, answer.life_time) == (410, "left-window", FOR_A_DAY)
    assert answer.headers["Live-Origin-Due"] == str(NOW_MS)
