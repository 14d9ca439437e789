"""Response headers: what caches, players and purges read."""

from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from fractions import Fraction
from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from origin.headers import (
    NUMBERS_PER_TAG,
    choice_field,
    etag,
    http_date,
    life_time,
    manifest_headers,
    media_type,
    purge_tags,
    segment_headers,
)
from selection.cache_policy import CachePolicy, absent, overload
from selection.model import Candidate, Choice, Event, Facts, Kind, Loss, Rule, SegmentKey
from storage.records import Manifest
from tests.support.events import candidate, make_defect, make_event, make_key, make_rendition

RENDITIONS = {
    Kind.VIDEO: make_rendition("v", kind=Kind.VIDEO, bandwidth=3_000_999),
    Kind.AUDIO: make_rendition("a", kind=Kind.AUDIO, bandwidth=128_000),
    Kind.MUXED: make_rendition("m", kind=Kind.MUXED, bandwidth=999),
    Kind.TEXT: make_rendition("t", kind=Kind.TEXT, bandwidth=1_000),
}
EVENT = make_event(renditions=list(RENDITIONS.values()))


def chosen(copy: Candidate, *losses: tuple[str, Loss]) -> Choice:
    return Choice(copy, Rule.FIRST_IN_ORDER, copy.published_ms, losses)


NEGATIVE = "stale-while-revalidate=0"

# Each with its Cache-Control, its Live-Origin-TTL and its CDN-Cache-Control, if any.
LIFE_TIMES: list[tuple[str, CachePolicy, str, str, str | None]] = [
    ("shortest", CachePolicy(1), f"public, max-age=1, {NEGATIVE}", "1ms", None),
    ("under-a-second", CachePolicy(999), f"public, max-age=1, {NEGATIVE}", "999ms", None),
    ("a-second", CachePolicy(1_000), f"public, max-age=1, {NEGATIVE}", "1000ms", None),
    ("rounds-down", CachePolicy(2_999), f"public, max-age=2, {NEGATIVE}", "2999ms", None),
    ("a-day", CachePolicy(86_400_000), f"public, max-age=86400, {NEGATIVE}", "86400000ms", None),
    ("overload", overload(), f"public, max-age=5, {NEGATIVE}", "5000ms", None),
    ("absent", absent(), f"public, max-age=1, {NEGATIVE}", "250ms", None),
    (
        "must-not-outlive-what-cannot-be-told-shorter",
        CachePolicy(1_999, must_not_outlive=True),
        f"public, max-age=1, {NEGATIVE}",
        "1999ms",
        None,
    ),
    (
        "must-not-outlive-two-seconds",
        CachePolicy(2_000, must_not_outlive=True),
        f"public, max-age=1, {NEGATIVE}",
        "2000ms",
        f"max-age=2, {NEGATIVE}",
    ),
    (
        "must-not-outlive-rounds-down",
        CachePolicy(7_999, must_not_outlive=True),
        f"public, max-age=6, {NEGATIVE}",
        "7999ms",
        f"max-age=7, {NEGATIVE}",
    ),
    (
        "may-be-stale",
        CachePolicy(2_000, stale_ms=1_999, stale_if_error_ms=3_000),
        "public, max-age=2, stale-while-revalidate=1, stale-if-error=3",
        "2000ms",
        None,
    ),
    (
        "immutable",
        CachePolicy(2_000, immutable=True, stale_ms=60_000, stale_if_error_ms=86_400_000),
        "public, max-age=2, immutable, stale-while-revalidate=60, stale-if-error=86400",
        "2000ms",
        None,
    ),
]


@pytest.mark.parametrize(
    ("policy", "cache_control", "ttl", "cdn"), [case[1:] for case in LIFE_TIMES], ids=[case[0] for case in LIFE_TIMES]
)
def test_a_life_time_is_written_in_seconds_and_in_ms(
    policy: CachePolicy, cache_control: str, ttl: str, cdn: str | None
) -> None:
    expected = {"Cache-Control": cache_control, "Live-Origin-TTL": ttl}
    assert life_time(policy) == (expected if cdn is None else expected | {"CDN-Cache-Control": cdn})


stale_times = st.just(0) | st.integers(1_000, 10**9)
policies = st.builds(CachePolicy, st.integers(1, 10**12), st.booleans(), st.booleans(), stale_times, stale_times)


@given(policies)
def test_every_answer_may_be_cached_so_that_requests_collapse(policy: CachePolicy) -> None:
    headers = life_time(policy)
    directives: dict[str, Any] = dict(
        directive.partition("=")[::2] for directive in headers["Cache-Control"].split(", ")
    )
    assert not directives.keys() & {"no-store", "no-cache", "private", "must-revalidate"}
    assert int(directives["max-age"]) >= 1
    assert int(directives["max-age"]) * 1000 <= max(policy.ttl_ms, 1_000)
    assert headers["Live-Origin-TTL"] == f"{policy.ttl_ms}ms"
    assert ("immutable" in directives) == policy.immutable
    assert int(directives["stale-while-revalidate"]) == policy.stale_ms // 1000
    assert int(directives.get("stale-if-error", 0)) == policy.stale_if_error_ms // 1000


@given(policies)
def test_what_must_not_outlive_its_life_time_ends_in_time_in_caches_that_keep_it_a_second_longer(
    policy: CachePolicy,
) -> None:
    headers = life_time(policy)
    told: Any = http_sf.parse(headers["Cache-Control"].encode(), tltype="dictionary")
    targeted: Any = http_sf.parse(headers.get("CDN-Cache-Control", "").encode(), tltype="dictionary")
    seconds, exact = told["max-age"][0], targeted.get("max-age", told["max-age"])[0]
    assert exact == max(policy.ttl_ms // 1000, 1)
    if policy.must_not_outlive:
        assert (seconds + 1) * 1000 <= max(policy.ttl_ms, 2_000)
    else:
        assert seconds == exact
    assert bool(targeted) == (seconds != exact)
    if targeted:
        assert targeted["stale-while-revalidate"] == told["stale-while-revalidate"]


@given(st.integers(0, 253_402_300_799))
def test_an_http_date_says_its_second(at_s: int) -> None:
    assert parsedate_to_datetime(http_date(at_s)) == datetime.fromtimestamp(at_s, UTC)


def test_an_http_date_has_the_one_form_that_may_be_sent() -> None:
    assert http_date(784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_an_entity_tag_is_strong() -> None:
    assert etag("0a1b") == '"0a1b"'


MEDIA_TYPES = [
    ("v720/7.m4s", None, "video/iso.segment"),
    ("v720/7.m4s", Kind.AUDIO, "video/iso.segment"),
    ("v720/init.mp4", Kind.VIDEO, "video/mp4"),
    ("a128/init.mp4", Kind.AUDIO, "audio/mp4"),
    ("v720/7.cmfv", Kind.VIDEO, "video/mp4"),
    ("a128/7.cmfa", Kind.AUDIO, "audio/mp4"),
    ("a128/7.m4a", Kind.AUDIO, "audio/mp4"),
    ("en/7.cmft", Kind.TEXT, "application/mp4"),
    ("v720/7.ts", Kind.MUXED, "video/mp2t"),
    ("a128/7.aac", Kind.AUDIO, "audio/aac"),
    ("en/7.vtt", Kind.TEXT, "text/vtt"),
    ("live.mpd", None, "application/dash+xml"),
    ("a/b/LIVE.M3U8", None, "application/vnd.apple.mpegurl"),
    ("v720/7", Kind.VIDEO, "application/octet-stream"),
    ("v720/7.exe", Kind.VIDEO, "application/octet-stream"),
    ("", None, "application/octet-stream"),
]


@pytest.mark.parametrize(("name", "kind", "expected"), MEDIA_TYPES)
def test_the_media_type_follows_the_extension(name: str, kind: Kind | None, expected: str) -> None:
    assert media_type(name, kind) == expected


@given(st.sampled_from(list(RENDITIONS)), st.none() | st.integers(0, 10**12), st.integers(0, 10**14))
def test_cmsd_static_is_a_structured_dictionary(kind: Kind, number: int | None, published_ms: int) -> None:
    headers = segment_headers(EVENT, make_key(number, RENDITIONS[kind].id), chosen(candidate("a", published_ms)))
    parsed = http_sf.parse(headers["CMSD-Static"].encode(), tltype="dictionary")
    assert isinstance(parsed, dict)
    assert all(isinstance(member, tuple) and member[1] == {} for member in parsed.values())


def cmsd(event: Event, key: SegmentKey, published_ms: int = 22_000) -> dict[str, Any]:
    field = segment_headers(event, key, chosen(candidate("a", published_ms)))["CMSD-Static"]
    parsed: Any = http_sf.parse(field.encode(), tltype="dictionary")
    return {name: str(value) if isinstance(value, http_sf.Token) else value for name, (value, _) in parsed.items()}


CMSD = [
    (Kind.VIDEO, {"ot": "v", "br": 3_000}),
    (Kind.AUDIO, {"ot": "a", "br": 128}),
    (Kind.MUXED, {"ot": "av", "br": 0}),
    (Kind.TEXT, {"ot": "c", "br": 1}),
]


@pytest.mark.parametrize(("kind", "expected"), CMSD)
def test_cmsd_static_tells_kind_bit_rate_duration_and_availability(kind: Kind, expected: dict[str, Any]) -> None:
    found = cmsd(EVENT, make_key(10, RENDITIONS[kind].id))
    assert found == expected | {"st": "l", "at": 22_000, "d": 2_000, "n": "live-origin"}


def test_cmsd_static_of_an_init_segment_has_neither_bit_rate_nor_duration() -> None:
    assert cmsd(EVENT, make_key(None, "v")) == {"ot": "i", "st": "l", "at": 22_000, "n": "live-origin"}


def test_cmsd_static_tells_a_broken_duration_to_the_nearest_ms() -> None:
    event = make_event(duration=Fraction(50 * 1001, 30_000))
    assert cmsd(event, make_key(10))["d"] == 1_668


def test_an_answer_about_a_segment_tells_where_it_comes_from_and_how_to_ask_for_it_again() -> None:
    copy = candidate("b", 784_111_777_999)
    headers = segment_headers(EVENT, make_key(70, "v"), chosen(copy, ("a", Loss.DEFECTS), ("c", Loss.ORDER)))
    assert headers == {
        "ETag": f'"{copy.digest}"',
        "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT",
        "Accept-Ranges": "bytes",
        "Live-Origin-Pipeline": "b",
        "Live-Origin-Region": "region-b",
        "Live-Origin-Choice": "b;rule=first-in-order, a;lost=defects, c;lost=order",
        "CMSD-Static": 'ot=v,st=l,at=784111777999,br=3000,d=2000,n="live-origin"',
        "Cache-Tag": "derby,derby/v,derby/pipeline/b,derby/region/region-b,derby/block/64",
        "Surrogate-Key": "derby derby/v derby/pipeline/b derby/region/region-b derby/block/64",
    }


def test_a_flawed_copy_says_so() -> None:
    copy = candidate("a", 0, make_defect("short", missing_ms=120), "slate")
    headers = segment_headers(EVENT, make_key(10, "v"), chosen(copy))
    assert headers["Live-Origin-Defects"] == "short;missing_ms=120, slate"


SCORES = [(None, None), (0, "0"), (100, "100")]


@pytest.mark.parametrize(("score", "expected"), SCORES)
def test_a_copy_that_was_judged_by_its_packager_says_how(score: int | None, expected: str | None) -> None:
    headers = segment_headers(EVENT, make_key(10, "v"), chosen(candidate("a", score=score)))
    assert headers.get("Live-Origin-Score") == expected


def test_an_answer_about_a_manifest_tells_where_it_comes_from() -> None:
    manifest = Manifest("b", "0a1b", 300, 784_111_777_999, sequence=7)
    assert manifest_headers("live.mpd", manifest) == {
        "Content-Type": "application/dash+xml",
        "ETag": '"0a1b"',
        "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT",
        "Accept-Ranges": "bytes",
        "Live-Origin-Pipeline": "b",
        "CMSD-Static": 'ot=m,st=l,at=784111777999,n="live-origin"',
    }


def test_a_copy_of_a_pipeline_that_left_the_configuration_has_no_region() -> None:
    headers = segment_headers(EVENT, make_key(10, "v"), chosen(candidate("z")))
    assert (headers["Live-Origin-Pipeline"], headers["Live-Origin-Region"]) == ("z", "")


INIT_DIGEST = "0123456789abcdef" * 2
INITS = [
    ("segment", 10, Facts(init_digest=INIT_DIGEST), f'"{INIT_DIGEST}"'),
    ("segment-that-needs-none", 10, Facts(), None),
    ("segment-not-looked-into", 10, None, None),
    ("init-itself", None, Facts(init_digest=INIT_DIGEST, generation=INIT_DIGEST), None),
]


@pytest.mark.parametrize(("number", "facts", "expected"), [case[1:] for case in INITS], ids=[case[0] for case in INITS])
def test_a_segment_tells_by_its_entity_tag_which_init_segment_it_needs(
    number: int | None, facts: Facts | None, expected: str | None
) -> None:
    headers = segment_headers(EVENT, make_key(number, "v"), chosen(replace(candidate("a"), facts=facts)))
    assert headers.get("Live-Origin-Init") == expected


identifiers = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,9}(\.[A-Za-z0-9_-]{1,9})?", fullmatch=True)


@given(st.lists(identifiers, min_size=1, max_size=4, unique=True), st.sampled_from(Rule), st.sampled_from(Loss))
def test_why_a_copy_was_chosen_and_the_others_not_is_a_structured_list(
    pipelines: list[str], rule: Rule, loss: Loss
) -> None:
    winner, *losers = pipelines
    choice = Choice(candidate(winner), rule, 0, tuple((pipeline, loss) for pipeline in losers))
    parsed: Any = http_sf.parse(choice_field(choice).encode(), tltype="list")
    told = [(str(item), {name: str(value) for name, value in facts.items()}) for item, facts in parsed]
    assert told == [(winner, {"rule": rule.value}), *((pipeline, {"lost": loss.value}) for pipeline in losers)]


@given(st.integers(0, 10**9))
def test_segments_are_purged_by_blocks_of_numbers(number: int) -> None:
    first = number - number % NUMBERS_PER_TAG
    assert purge_tags(make_key(number), "a", "r")[-1] == f"derby/block/{first}"


def test_an_init_segment_belongs_to_no_block() -> None:
    assert purge_tags(make_key(None), "a", "r") == ["derby", "derby/v720", "derby/pipeline/a", "derby/region/r"]
