"""Delivering over HTTP: every answer a cache can get, and how long each stays true."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from origin.turnout import LaneServer
from tests.origin.site import FOR_A_SECOND, NOW_MS, NUMBER, OF_A_FLAWED_COPY, OF_A_GOOD_COPY, Site

BODY = b"0123456789" * 100
ETAG = f'"{hashlib.sha256(BODY).hexdigest()[:32]}"'
LAST_MODIFIED = "Thu, 01 Jan 1970 00:32:02 GMT"  # NOW_MS

# -- Segments, init segments

SEGMENT_HEADERS = {
    "Content-Type": "video/iso.segment",
    "Cache-Control": OF_A_GOOD_COPY[0],
    "Live-Origin-TTL": OF_A_GOOD_COPY[1],
    "Etag": ETAG,
    "Last-Modified": LAST_MODIFIED,
    "Accept-Ranges": "bytes",
    "Live-Origin-Pipeline": "a",
    "Live-Origin-Region": "us-east-1",
    "Live-Origin-Choice": "a;rule=first-in-order, b;lost=down",
    "CMSD-Static": f'ot=v,st=l,at={NOW_MS},br=3000,d=1920,n="live-origin"',
    "Cache-Tag": "derby,derby/v720,derby/pipeline/a,derby/region/us-east-1,derby/block/992",
    "Surrogate-Key": "derby derby/v720 derby/pipeline/a derby/region/us-east-1 derby/block/992",
}
INIT_HEADERS = SEGMENT_HEADERS | {
    "Cache-Control": "public, max-age=60, stale-while-revalidate=60, stale-if-error=86400",
    "Live-Origin-TTL": "60000ms",
    "Content-Type": "audio/mp4",
    "CMSD-Static": f'ot=i,st=l,at={NOW_MS},n="live-origin"',
    "Cache-Tag": "derby,derby/a128,derby/pipeline/a,derby/region/us-east-1",
    "Surrogate-Key": "derby derby/a128 derby/pipeline/a derby/region/us-east-1",
}


@pytest.mark.parametrize(
    ("name", "headers"), [(NUMBER, SEGMENT_HEADERS), ("a128/init.mp4", INIT_HEADERS)], ids=["segment", "init"]
)
async def test_what_was_chosen_is_delivered_with_all_its_headers(
    site: Site, name: str | int, headers: dict[str, str]
) -> None:
    await site.put(name, body=BODY)
    answer = await site.get(name)
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.own_headers == headers
    assert answer.headers["Content-Length"] == str(len(BODY))
    assert answer.headers["Server"] == "Live-Origin"
    assert "Date" in answer.headers


async def test_head_is_get_without_the_body_and_without_storage(site: Site) -> None:
    await site.put(NUMBER, body=BODY)
    get, head = await site.get(NUMBER), await site.get(NUMBER, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.own_headers == {**get.own_headers, "Live-Origin-Edge": str(NUMBER)}  # true at this moment only
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.mark.parametrize("event", ["derby@7", "derby@2026-11-22", "derby@"])
async def test_a_version_of_the_event_is_another_key_for_the_same_thing(site: Site, event: str) -> None:
    await site.put(NUMBER, body=BODY)
    assert (await site.get(NUMBER, event=event)).own_headers == SEGMENT_HEADERS


async def test_a_long_version_is_answered_and_not_kept(site: Site) -> None:
    """Who asks chooses it: kept answers must not be as large as request targets."""
    await site.put(NUMBER, body=BODY)
    server = site.origin._runners["deliver"].server
    assert isinstance(server, LaneServer)
    deliverer = server.desk.deliverer
    for version, kept_count in ("7", 1), ("x" * 300, 1), ("8", 2):
        assert (await site.get(NUMBER, event=f"derby@{version}")).body == BODY
        assert len(deliverer._known) == kept_count


async def test_a_query_changes_nothing(site: Site) -> None:
    await site.put(NUMBER, body=BODY)
    assert (await site.get(f"v720/{NUMBER}.m4s?session=7")).body == BODY


# (request headers, status, body, headers that differ from those of the whole)
CONDITIONS: list[tuple[str, dict[str, str], int, bytes, dict[str, str]]] = [
    ("same-tag", {"If-None-Match": ETAG}, 304, b"", {}),
    ("not-modified", {"If-Modified-Since": LAST_MODIFIED}, 304, b"", {}),
    ("other-tag", {"If-None-Match": '"other"'}, 200, BODY, {}),
    ("first-ten", {"Range": "bytes=0-9"}, 206, BODY[:10], {"Content-Range": "bytes 0-9/1000"}),
    ("last-ten", {"Range": "bytes=-10"}, 206, BODY[-10:], {"Content-Range": "bytes 990-999/1000"}),
    ("from-the-middle", {"Range": "bytes=500-"}, 206, BODY[500:], {"Content-Range": "bytes 500-999/1000"}),
    ("several-ranges", {"Range": "bytes=0-1,5-6"}, 200, BODY, {}),
    (
        "range-of-this",
        {"Range": "bytes=0-9", "If-Range": ETAG},
        206,
        BODY[:10],
        {"Content-Range": "bytes 0-9/1000"},
    ),
    ("range-of-another", {"Range": "bytes=0-9", "If-Range": '"other"'}, 200, BODY, {}),
]


@pytest.mark.parametrize(
    ("headers", "status", "body", "differing"), [case[1:] for case in CONDITIONS], ids=[case[0] for case in CONDITIONS]
)
async def test_a_part_or_nothing_new_carries_the_headers_of_the_whole(
    site: Site, headers: dict[str, str], status: int, body: bytes, differing: dict[str, str]
) -> None:
    await site.put(NUMBER, body=BODY)
    answer = await site.get(NUMBER, **headers)
    assert (answer.status, answer.body) == (status, body)
    found = answer.own_headers
    assert found == SEGMENT_HEADERS | differing


async def test_tags_on_several_lines_are_one_list(site: Site) -> None:
    await site.put(NUMBER, body=BODY)
    url = f"{site.running.deliver}/derby/v720/{NUMBER}.m4s"
    answer = await site.ask("GET", url, headers=[("If-None-Match", '"other"'), ("If-None-Match", ETAG)])
    assert answer.status == 304


FAILURES: list[tuple[str, dict[str, str], int, str]] = [
    ("precondition", {"If-Match": '"other"'}, 412, "precondition"),
    ("modified-since", {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 412, "precondition"),
    ("range", {"Range": "bytes=1000-"}, 416, "range"),
]


@pytest.mark.parametrize(
    ("headers", "status", "slug"), [case[1:] for case in FAILURES], ids=[case[0] for case in FAILURES]
)
async def test_a_condition_that_cannot_be_met_is_refused_for_a_moment(
    site: Site, headers: dict[str, str], status: int, slug: str
) -> None:
    await site.put(NUMBER, body=BODY)
    answer = await site.get(NUMBER, **headers)
    assert (answer.status, answer.slug, answer.life_time) == (status, slug, FOR_A_SECOND)
    assert answer.headers.get("Content-Range") == ("bytes */1000" if status == 416 else None)


async def test_head_has_no_ranges(site: Site) -> None:
    await site.put(NUMBER, body=BODY)
    answer = await site.get(NUMBER, method="HEAD", Range="bytes=0-9")
    assert (answer.status, answer.headers["Content-Length"]) == (200, "1000")


async def test_only_bytes_that_are_sent_are_read(site: Site, tmp_path: Path) -> None:
    await site.put(NUMBER, body=BODY)
    site.forget_ram()
    for method, headers in (("HEAD", {}), ("GET", {"If-None-Match": ETAG}), ("GET", {"Range": "bytes=5000-"})):
        await site.get(NUMBER, method=method, **headers)
    assert site.bodies.counts["read"] == 0
    await site.get(NUMBER, Range="bytes=0-0")
    assert site.bodies.counts["read"] == 1


async def test_however_many_ask_for_a_body_that_left_ram_the_disk_is_read_once(site: Site) -> None:
    await site.put(NUMBER, body=BODY)
    site.forget_ram()
    with site.bodies.gate("read") as gate:
        asking = [asyncio.create_task(site.get(NUMBER)) for _ in range(20)]
        await gate.reached()
    answers = await asyncio.gather(*asking)
    assert {(answer.status, answer.body) for answer in answers} == {(200, BODY)}
    assert site.bodies.counts["read"] == 1
    assert await site.metric("origin_cache_requests_total", result="ssd") == 1


# -- Flawed copies


async def test_a_flawed_choice_says_so_lives_shortly_and_is_upgraded(site: Site) -> None:
    await site.put(NUMBER, "a", b"flawed", Live_Origin_Defects="short;missing_ms=120")
    first = await site.get(NUMBER)
    assert (first.status, first.body) == (200, b"flawed")
    assert first.headers["Live-Origin-Defects"] == "short;missing_ms=120"
    assert first.life_time == OF_A_FLAWED_COPY
    await site.put(NUMBER, "b", BODY)
    second = await site.get(NUMBER)
    assert (second.status, second.body, second.headers["Etag"]) == (200, BODY, ETAG)
    assert "Live-Origin-Defects" not in second.headers
    assert second.headers["Live-Origin-Pipeline"] == "b"
    assert second.life_time == OF_A_GOOD_COPY
    assert first.headers["Etag"] != second.headers["Etag"]


async def test_a_cache_that_has_the_flawed_copy_is_given_the_better_one(site: Site) -> None:
    await site.put(NUMBER, "a", b"flawed", Live_Origin_Defects="short")
    flawed = (await site.get(NUMBER)).headers["Etag"]
    assert (await site.get(NUMBER, If_None_Match=flawed)).status == 304
    await site.put(NUMBER, "b", BODY)
    assert (await site.get(NUMBER, If_None_Match=flawed)).status == 200


# -- Counting

COUNTED: list[tuple[str, str | int, str, dict[str, str], tuple[str, str]]] = [
    ("segment", NUMBER, "derby", {}, ("segment", "served")),
    ("part", NUMBER, "derby", {"Range": "bytes=0-0"}, ("segment", "served-part")),
    ("not-modified", NUMBER, "derby", {"If-None-Match": "*"}, ("segment", "not-modified")),
    ("init", "v720/init.mp4", "derby", {}, ("init", "served")),
    ("manifest", "live.mpd", "derby", {}, ("manifest", "served")),
    ("no-manifest", "other.mpd", "derby", {}, ("manifest", "not-published-yet")),
    ("future", NUMBER + 50, "derby", {}, ("segment", "too-early")),
    ("unknown-name", "nothing", "derby", {}, ("none", "unknown-name")),
    ("unknown-event", NUMBER, "ascot", {}, ("none", "unknown-event")),
]


@pytest.mark.parametrize(
    ("name", "event", "headers", "labels"), [case[1:] for case in COUNTED], ids=[case[0] for case in COUNTED]
)
async def test_each_request_counts_once_by_kind_and_outcome(
    site: Site, name: str | int, event: str, headers: dict[str, str], labels: tuple[str, str]
) -> None:
    for published in (NUMBER, "v720/init.mp4", "live.mpd"):
        await site.put(published, body=BODY)
    answer = await site.get(name, event=event, **headers)
    kind, outcome = labels
    assert await site.metric("origin_deliver_requests_total", kind=kind, outcome=outcome) == 1
    assert await site.metric("origin_deliver_bytes_total") == len(answer.body)
    assert await site.metric("origin_deliver_duration_seconds_count") == 1


async def test_the_time_a_request_was_held_is_not_the_time_it_took(site: Site) -> None:
    held = await site.hold(NUMBER)
    site.clock.move_to(NOW_MS + 5_000)
    await site.put(NUMBER, body=BODY)
    await held
    assert await site.metric("origin_hold_duration_seconds_sum", woken="yes") == 5
    assert await site.metric("origin_deliver_duration_seconds_bucket", le="0.001") == 1


async def test_the_request_log_tells_what_was_asked_and_what_was_chosen(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="origin.routes")
    held = await site.hold(NUMBER)
    site.clock.move_to(NOW_MS + 70)
    await site.put(NUMBER, body=BODY)
    await held
    lines = [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "request"]
    (line,) = [line for line in lines if line["listener"] == "deliver"]
    assert {name: line[name] for name in line.keys() - {"id", "duration_ms", "listener", "path"}} == {
        "method": "GET",
        "status": 200,
        "outcome": "served",
        "bytes": len(BODY),
        "event": "derby",
        "kind": "segment",
        "rendition": "v720",
        "number": NUMBER,
        "pipeline": "a",
        "rule": "first-in-order",
        "hold_ms": 70,
    }
