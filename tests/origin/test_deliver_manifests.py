"""Manifests over HTTP: from the first pipeline that keeps up, for less than a segment."""

import hashlib
from pathlib import Path

import pytest

from tests.origin.site import FOR_A_SECOND, NOW_MS, Site, make_body, open_site
from tests.support.origins import SEGMENT_MS

LAST_MODIFIED = "Thu, 01 Jan 1970 00:32:02 GMT"  # NOW_MS

MANIFEST = b'<MPD type="dynamic"/>'


async def test_a_manifest_is_delivered_with_all_its_headers(site: Site) -> None:
    await site.put("live.mpd", body=MANIFEST)
    answer = await site.get("live.mpd")
    assert (answer.status, answer.body) == (200, MANIFEST)
    assert answer.own_headers == {
        "Content-Type": "application/dash+xml",
        "Cache-Control": "public, max-age=1, stale-while-revalidate=1, stale-if-error=5",
        "Live-Origin-TTL": "1000ms",
        "Etag": f'"{hashlib.sha256(MANIFEST).hexdigest()[:32]}"',
        "Last-Modified": LAST_MODIFIED,
        "Accept-Ranges": "bytes",
        "Live-Origin-Pipeline": "a",
        "CMSD-Static": f'ot=m,st=l,at={NOW_MS},n="live-origin"',
    }
    assert (await site.get("live.mpd", If_None_Match=answer.headers["Etag"])).status == 304
    assert (await site.get("live.mpd", method="HEAD")).headers["Content-Length"] == str(len(MANIFEST))


async def test_a_manifest_lives_for_less_than_a_segment(tmp_path: Path) -> None:
    async with open_site(tmp_path, event={"segment_duration": "6s"}, limits={"hold": "10s"}) as site:
        await site.put("live.m3u8", body=MANIFEST)
        answer = await site.get("live.m3u8")
        assert answer.headers["Content-Type"] == "application/vnd.apple.mpegurl"
        assert answer.life_time == ("public, max-age=3, stale-while-revalidate=3, stale-if-error=18", "3000ms")


async def test_a_manifest_that_nobody_has_published_is_refused_for_a_second(site: Site) -> None:
    await site.put("live.mpd", body=MANIFEST)
    for name in ("other.mpd", "live.m3u8", "hls/live.mpd"):
        answer = await site.get(name)
        assert (answer.status, answer.slug, answer.life_time) == (404, "not-published-yet", FOR_A_SECOND)


FRESHNESS = [
    ("first-in-order", [("a", 0), ("b", 0)], "a"),
    ("whoever-came-last", [("b", 0), ("a", 0)], "a"),
    ("only-one", [("b", 0)], "b"),
    ("a-little-behind", [("a", 0), ("b", 3 * SEGMENT_MS)], "a"),
    ("too-far-behind", [("a", 0), ("b", 3 * SEGMENT_MS + 1)], "b"),
    ("caught-up", [("a", 0), ("b", 60_000), ("a", 60_001)], "a"),
    ("old-but-nobody-is-newer", [("a", 0), ("b", 1), ("b", 2)], "a"),
]


@pytest.mark.parametrize(("steps", "pipeline"), [case[1:] for case in FRESHNESS], ids=[case[0] for case in FRESHNESS])
async def test_the_first_pipeline_that_keeps_up_delivers_its_manifest(
    site: Site, steps: list[tuple[str, int]], pipeline: str
) -> None:
    for pipeline_id, after_ms in steps:
        site.clock.move_to(NOW_MS + after_ms)
        await site.put("live.mpd", pipeline_id)
    site.clock.move_to(NOW_MS + 3_600_000)
    answer = await site.get("live.mpd")
    assert (answer.status, answer.headers["Live-Origin-Pipeline"]) == (200, pipeline)
    assert answer.body == make_body("live.mpd", pipeline)


async def test_a_manifest_renewed_by_another_pipeline_has_another_tag(site: Site) -> None:
    await site.put("live.mpd", "b")
    first = await site.get("live.mpd")
    await site.put("live.mpd", "a")
    assert (await site.get("live.mpd", If_None_Match=first.headers["Etag"])).status == 200


@pytest.mark.parametrize("damage", ["missing", "rotten"])
async def test_a_manifest_that_is_not_there_is_delivered_from_the_next_pipeline(site: Site, damage: str) -> None:
    """ffmpeg writes a master playlist once: nobody would ever heal it."""
    for pipeline in ("a", "b"):
        assert (await site.put("master.m3u8", pipeline)).status == 201
    (path,) = (Path(site.origin.settings.storage.path) / "bodies" / "derby" / "manifest").glob("*~a~*")
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"#EXTM3V")
    site.forget_ram()
    answer = await site.get("master.m3u8")
    assert (answer.status, answer.headers["Live-Origin-Pipeline"]) == (200, "b")
    assert answer.body == make_body("master.m3u8", "b")
