"""Publishing over HTTP: every answer a packager can get, and what it may rely on after it."""

import base64
import gzip
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.origin.site import NOW_MS, NUMBER, Site, make_body, open_site
from tests.support.bodies import NO_FAULTS, Faults
from tests.support.origins import SEGMENT_MS

BODY = b"the whole segment"
ETAG = f'"{hashlib.sha256(BODY).hexdigest()[:32]}"'
DIGEST = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
CACHE_HEADERS = {"Cache-Control", "Live-Origin-TTL", "ETag", "Expires"}


# -- 201 and 200


async def test_a_first_copy_is_stored_and_the_answer_tells_what_became_of_it(site: Site) -> None:
    answer = await site.put(NUMBER, body=BODY)
    assert answer.status == 201
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.document == {
        "outcome": "stored",
        "event": "derby",
        "pipeline": "a",
        "rendition": "v720",
        "number": NUMBER,
        "bytes": len(BODY),
        "etag": ETAG,
        "defects": [],
        "chosen": True,
        "choice": {"pipeline": "a", "rule": "first-in-order"},
        "due_ms": NOW_MS,
        "late_ms": 0,
    }


async def test_after_a_201_any_get_finds_the_segment(site: Site) -> None:
    await site.put(NUMBER, body=BODY)
    answer = await site.get(NUMBER)
    assert (answer.status, answer.body, answer.headers["ETag"]) == (200, BODY, ETAG)


async def test_what_a_packager_declared_is_in_the_answer(site: Site) -> None:
    answer = await site.put(
        NUMBER, body=BODY, Live_Origin_Defects="short;missing_ms=120, slate", Live_Origin_Score="70"
    )
    assert answer.status == 201
    assert answer.document["defects"] == [{"name": "slate"}, {"name": "short", "missing_ms": 120}]


@pytest.mark.parametrize("late_ms", [-2_000, -1, 0, 1, 5_000, 1_000_000])
async def test_the_answer_tells_how_late_a_copy_came(tmp_path: Path, late_ms: int) -> None:
    async with open_site(tmp_path, now_ms=NOW_MS + late_ms) as site:
        assert (await site.put(NUMBER, body=BODY)).document["late_ms"] == late_ms


async def test_a_copy_that_is_not_chosen_is_told_which_one_is(site: Site) -> None:
    await site.put(NUMBER, "a")
    answer = await site.put(NUMBER, "b")
    assert answer.status == 201
    assert answer.document["chosen"] is False
    assert answer.document["choice"] == {"pipeline": "a", "rule": "first-in-order"}


async def test_a_copy_that_waits_for_others_is_not_chosen_yet(site: Site) -> None:
    for number in (NUMBER - 1, NUMBER):
        await site.put(number, "a")
        await site.put(number, "b")
    answer = await site.put(NUMBER + 1, "a", Live_Origin_Defects="short")
    assert (answer.status, answer.document["chosen"], answer.document["choice"]) == (201, False, None)


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_put_and_post_mean_the_same(site: Site, method: str) -> None:
    assert (await site.put(NUMBER, body=BODY, method=method)).status == 201
    assert (await site.get(NUMBER)).body == BODY


async def test_a_body_may_come_in_chunks(site: Site) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (BODY[:5], BODY[5:]):
            yield piece

    assert (await site.put(NUMBER, body=pieces())).status == 201
    assert (await site.get(NUMBER)).body == BODY


async def test_the_same_bytes_again_are_fine(site: Site) -> None:
    await site.put(NUMBER, body=BODY)
    answer = await site.put(NUMBER, body=BODY)
    assert (answer.status, answer.document["outcome"]) == (200, "unchanged")
    assert answer.document["chosen"] is True


async def test_a_copy_that_was_not_chosen_yet_is_replaced(site: Site) -> None:
    await site.put(NUMBER, "a")
    await site.put(NUMBER, "b", b"one")
    answer = await site.put(NUMBER, "b", b"two")
    assert (answer.status, answer.document["outcome"]) == (200, "replaced")


async def test_an_init_segment_is_stored_and_renewed(site: Site) -> None:
    first, second = await site.put("v720/init.mp4", body=b"one"), await site.put("v720/init.mp4", body=b"two")
    assert (first.status, first.document["outcome"]) == (201, "stored")
    assert (second.status, second.document["outcome"]) == (200, "renewed")
    assert second.document["number"] is None
    assert second.document["choice"] == {"pipeline": "a", "rule": "renewed"}
    assert not second.document.keys() & {"due_ms", "late_ms"}
    assert (await site.get("v720/init.mp4")).body == b"two"


@pytest.mark.parametrize("name", ["live.mpd", "hls/v720.m3u8"])
async def test_a_manifest_is_stored_and_renewed(site: Site, name: str) -> None:
    first, second = await site.put(name, body=b"one"), await site.put(name, body=b"two")
    assert (first.status, first.document) == (
        201,
        {"outcome": "stored", "event": "derby", "pipeline": "a", "bytes": 3},
    )
    assert (second.status, second.document["outcome"]) == (200, "renewed")
    assert (await site.get(name)).body == b"two"


@pytest.mark.parametrize("name", [NUMBER, "v720/init.mp4", "live.mpd"], ids=["segment", "init", "manifest"])
async def test_an_empty_first_request_opens_a_publishing_point_and_stores_nothing(
    site: Site, tmp_path: Path, name: str | int
) -> None:
    answer = await site.ask(
        "PUT", f"{site.running.publish}/derby/a/{name if isinstance(name, str) else f'v720/{name}.m4s'}"
    )
    assert (answer.status, answer.document["outcome"]) == (200, "empty")
    assert site.stored_files == []


@pytest.mark.parametrize("name", [NUMBER, "v720/init.mp4", "live.mpd", "anything/at/all"])
async def test_delete_is_answered_and_deletes_nothing(site: Site, name: str | int) -> None:
    await site.put(NUMBER, body=BODY)
    for _ in range(2):
        answer = await site.put(name, method="DELETE")
        assert (answer.status, answer.document["outcome"]) == (200, "ignored")
    assert (await site.get(NUMBER)).body == BODY


async def test_a_late_copy_within_the_window_fills_its_hole(site: Site) -> None:
    number = NUMBER - 100
    assert (await site.get(number)).status == 410
    answer = await site.put(number, body=BODY)
    assert (answer.status, answer.document["late_ms"]) == (201, 100 * SEGMENT_MS)
    assert (await site.get(number)).body == BODY


async def test_a_body_with_its_digest_is_stored(site: Site) -> None:
    assert (await site.put(NUMBER, body=BODY, Content_Digest=f"sha-256=:{DIGEST}:")).status == 201


async def test_a_compressed_manifest_is_stored_and_delivered_plain(site: Site) -> None:
    packed = gzip.compress(BODY)
    digest = base64.b64encode(hashlib.sha256(packed).digest()).decode()
    answer = await site.put("live.mpd", body=packed, Content_Encoding="gzip", Content_Digest=f"sha-256=:{digest}:")
    assert (answer.status, answer.document["bytes"]) == (201, len(BODY))
    delivered = await site.get("live.mpd")
    assert (delivered.body, delivered.headers.get("Content-Encoding")) == (BODY, None)


@pytest.mark.parametrize("content_type", ["video/mp4", "audio/mp4", "application/octet-stream", "video/iso.segment"])
async def test_media_of_every_usual_type_is_stored(site: Site, content_type: str) -> None:
    assert (await site.put(NUMBER, body=BODY, Content_Type=content_type)).status == 201


# -- Faults of the disk

FAULTS = [
    ("full", Faults(full=1), 507, "disk-full", None),
    ("broken", Faults(errors=1), 503, "storage", "1"),
]


@pytest.mark.parametrize("name", [NUMBER, "v720/init.mp4", "live.mpd"], ids=["segment", "init", "manifest"])
@pytest.mark.parametrize(
    ("faults", "status", "slug", "retry_after"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS]
)
async def test_a_disk_that_fails_is_told_from_one_that_is_full(
    site: Site, tmp_path: Path, faults: Faults, status: int, slug: str, retry_after: str | None, name: str | int
) -> None:
    site.bodies.faults = faults
    answer = await site.put(name)
    assert (answer.status, answer.slug, answer.headers.get("Retry-After")) == (status, slug, retry_after)
    assert str(tmp_path) not in answer.body.decode()
    assert site.stored_files == []
    assert await site.metric("origin_storage_errors_total", operation="body-write") == 1
    site.bodies.faults = NO_FAULTS
    assert (await site.put(name)).status == 201


# -- Counting

OUTCOMES = [
    ("stored", NUMBER, {}, "stored"),
    ("manifest", "live.mpd", {}, "manifest-stored"),
    ("too-far-ahead", NUMBER + 50, {}, "too-far-ahead"),
    ("unknown-name", "nothing", {}, "unknown-name"),
    ("bad-header", NUMBER, {"Live_Origin_Score": "x"}, "bad-header"),
    ("delete", NUMBER, {"method": "DELETE"}, "delete-ignored"),
]


@pytest.mark.parametrize(
    ("name", "options", "outcome"), [case[1:] for case in OUTCOMES], ids=[case[0] for case in OUTCOMES]
)
async def test_each_request_counts_once_by_what_came_of_it(
    site: Site, name: str | int, options: dict[str, str], outcome: str
) -> None:
    await site.put(name, **options)
    assert await site.metric("origin_publish_requests_total", outcome=outcome) == 1


async def test_bytes_and_lateness_count_for_the_pipeline(site: Site) -> None:
    await site.put(NUMBER, "b")
    labels = {"event": "derby", "pipeline": "b"}
    assert await site.metric("origin_publish_bytes_total", **labels) == len(make_body(NUMBER, "b"))
    assert await site.metric("origin_publish_lateness_seconds_count", **labels) == 1
    assert await site.metric("origin_live_edge_lag_seconds", **labels) == 0
    site.clock.move_to(NOW_MS + 3 * SEGMENT_MS)
    assert await site.metric("origin_live_edge_lag_seconds", **labels) == 3 * SEGMENT_MS / 1000


async def test_the_request_log_tells_who_sent_what(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="origin.routes")
    await site.put(NUMBER, "b")
    await site.put(NUMBER + 50, "b")
    lines = [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "request"]
    facts = [{name: line[name] for name in ("event", "pipeline", "rendition", "number", "outcome")} for line in lines]
    assert facts == [
        {"event": "derby", "pipeline": "b", "rendition": "v720", "number": number, "outcome": outcome}
        for number, outcome in ((NUMBER, "stored"), (NUMBER + 50, "too-far-ahead"))
    ]
