"""Addresses of bodies: unique for what differs, equal for what is equal, and nothing in them that leads elsewhere."""

import hashlib
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.base import (
    SEGMENTS_PER_BUCKET,
    BodyKey,
    body_key,
    bucket_of,
    digest_of,
    is_intact,
    manifest_key,
    parse_body_key,
)
from tests.support.events import make_key

DIGEST = "0123456789abcdef0123456789abcdef"

KEYS = [
    ("first-bucket", 0, "derby/0/v720~0~a~"),
    ("last-of-a-bucket", SEGMENTS_PER_BUCKET - 1, f"derby/0/v720~{SEGMENTS_PER_BUCKET - 1}~a~"),
    ("first-of-the-next", SEGMENTS_PER_BUCKET, f"derby/1/v720~{SEGMENTS_PER_BUCKET}~a~"),
    ("today", 929_000_000, "derby/29031250/v720~929000000~a~"),
    ("init", None, "derby/init/v720~init~a~"),
]


@pytest.mark.parametrize(("number", "prefix"), [case[1:] for case in KEYS], ids=[case[0] for case in KEYS])
def test_a_copy_lies_in_the_folder_of_its_bucket(number: int | None, prefix: str) -> None:
    assert body_key(make_key(number), "a", DIGEST) == prefix + DIGEST


def test_a_digest_is_the_first_half_of_sha_256() -> None:
    assert digest_of(b"abc") == hashlib.sha256(b"abc").hexdigest()[:32] == "ba7816bf8f01cfea414140de5dae2223"


@given(st.text(min_size=1))
def test_a_manifests_name_never_becomes_a_path(name: str) -> None:
    parts = PurePosixPath(manifest_key("derby", name, "a", DIGEST)).parts
    assert parts[:2] == ("derby", "manifest")
    assert len(parts) == 3


IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True)


@given(IDS, IDS, st.none() | st.integers(0, 10**19), IDS, st.binary(max_size=3))
def test_a_key_tells_what_it_is_a_copy_of(
    event_id: str, rendition_id: str, number: int | None, pipeline_id: str, body: bytes
) -> None:
    segment = make_key(number, rendition_id, event_id)
    assert parse_body_key(body_key(segment, pipeline_id, digest_of(body))) == segment


FOREIGN = [
    ("manifest", manifest_key("derby", "live.mpd", "a", DIGEST)),
    ("manifest-of-an-event-named-like-a-folder", manifest_key("init", "init", "init", DIGEST)),
    ("empty", ""),
    ("unfinished", f"derby/0/v720~7~a~{DIGEST}.0.tmp"),
    ("another-bucket", f"derby/1/v720~7~a~{DIGEST}"),
    ("init-in-a-bucket", f"derby/0/v720~init~a~{DIGEST}"),
    ("number-among-the-inits", f"derby/init/v720~7~a~{DIGEST}"),
    ("leading-zero", f"derby/0/v720~07~a~{DIGEST}"),
    ("another-spelling-of-a-digit", f"derby/0/v720~\u0667~a~{DIGEST}"),
    ("endless-number", f"derby/0/v720~{'7' * 5_000}~a~{DIGEST}"),
    ("without-digest", "derby/0/v720~7~a"),
    ("a-folder-too-many", f"derby/0/0/v720~7~a~{DIGEST}"),
    ("a-line-too-many", f"derby/0/v720~7~a~{DIGEST}\n"),
]


@pytest.mark.parametrize("key", [case[1] for case in FOREIGN], ids=[case[0] for case in FOREIGN])
def test_what_is_no_copy_of_a_segment_is_told_apart(key: str) -> None:
    assert parse_body_key(BodyKey(key)) is None


def test_everything_that_differs_lies_elsewhere() -> None:
    keys = {
        body_key(make_key(number, rendition, event), pipeline, digest)
        for number in (1, 11, None)
        for rendition in ("v720", "v72")
        for event in ("derby", "oaks")
        for pipeline in ("a", "b")
        for digest in (DIGEST, DIGEST[::-1])
    } | {
        manifest_key(event, name, pipeline, digest)
        for event in ("derby", "oaks")
        for name in ("live.mpd", "a/live.mpd")
        for pipeline in ("a", "b")
        for digest in (DIGEST, DIGEST[::-1])
    }
    assert len(keys) == 48 + 16


@given(st.integers(0, 10**12))
def test_buckets_are_as_large_as_they_say(number: int) -> None:
    first = bucket_of(number) * SEGMENTS_PER_BUCKET
    assert first <= number < first + SEGMENTS_PER_BUCKET


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_only_the_bytes_that_were_stored_are_intact(body: bytes, other: bytes) -> None:
    for key in (body_key(make_key(1), "a", digest_of(body)), manifest_key("derby", "live.mpd", "a", digest_of(body))):
        assert is_intact(key, body)
        assert is_intact(key, other) == (other == body)
