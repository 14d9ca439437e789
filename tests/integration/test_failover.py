"""Two real pipelines push each event, one is killed in the middle of a segment, and nobody downstream notices.

The arithmetic here is written out anew: it shall catch the origin's being wrong.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from selection.model import Candidate, Choice, Loss, Rule, SegmentKey
from tests.integration.show import CASTS, KILLED_IN, PREFER_WAIT_MS, SEGMENTS, Act
from tests.support.media import decode_times
from tests.support.packagers import AUDIO_FRAME_SAMPLES, AUDIO_TICKS, SEGMENT_MS, VIDEO_TICKS, start_ms
from tests.support.reader import Delivered

PUBLISH_DELAY_MS: Final = 1_000
# From a choice to the last byte at the reader: loopback needs 3 ms; the rest is for a loaded machine.
ANSWER_MS_MAX: Final = 1_000

EVENTS: Final = [cast.event_id for cast in CASTS]
WITH_FFMPEG_ONLY: Final = [cast.event_id for cast in CASTS if cast.shaka is None]
WITH_SHAKA: Final = [cast.event_id for cast in CASTS if cast.shaka is not None]
WITH_MASTER: Final = [cast.event_id for cast in CASTS if cast.shaka is None and cast.format.master is not None]


@pytest.fixture
def act(acts: Mapping[str, Act], request: pytest.FixtureRequest) -> Act:
    """What happened at the event that the test is run for."""
    return acts[request.param]


for_every_event = pytest.mark.parametrize("act", EVENTS, indirect=True)


def segments(act: Act) -> Iterator[tuple[Delivered, SegmentKey]]:
    """Yield every segment the reader asked for."""
    for rendition_id, answers in act.delivered.items():
        for answer in answers:
            yield answer, SegmentKey(act.cast.event_id, rendition_id, answer.number)


def only_choice(act: Act, key: SegmentKey) -> Choice:
    (choice,) = act.choices[key]
    return choice


def after_the_kill(act: Act) -> Iterator[tuple[SegmentKey, Choice, Candidate]]:
    """Yield every segment from the one that was on air when a was killed, its choice and b's copy."""
    for _, key in segments(act):
        assert key.number is not None
        if key.number >= act.numbers[KILLED_IN]:
            yield key, only_choice(act, key), act.copies["b"][key]


def is_a_down(act: Act, number: int, at_ms: int) -> bool:
    """Tell whether a, dead since its last segment, has missed the two newest due ones before this number."""
    newest_due = (at_ms - PUBLISH_DELAY_MS) // SEGMENT_MS - 1
    return min(newest_due, number - 1) - 1 > act.numbers[KILLED_IN - 1]


@for_every_event
def test_every_segment_asked_for_when_its_media_has_ended_is_delivered(act: Act) -> None:
    assert set(act.delivered) == {track.rendition_id for track in act.cast.format.tracks}
    for answers in act.delivered.values():
        assert [(answer.number, answer.status) for answer in answers] == [(number, 200) for number in act.numbers]
        for answer in answers:
            assert answer.number is not None
            assert answer.asked_ms >= start_ms(answer.number + 1)
    assert len(act.numbers) == SEGMENTS


@for_every_event
def test_what_was_delivered_decodes_without_a_warning_and_without_a_frame_missing(act: Act) -> None:
    for track in act.cast.format.tracks:
        sequel = act.sequels[track.rendition_id]
        assert sequel.said == ""
        assert sequel.frames == [(frames * SEGMENTS, frames * SEGMENTS) for frames in track.frames]


@for_every_event
def test_it_comes_from_the_first_pipeline_until_that_is_killed_and_then_from_the_other(act: Act) -> None:
    for answers in act.delivered.values():
        assert "".join(answer.headers["Live-Origin-Pipeline"] for answer in answers) == "aabbbb"
    on_air = act.numbers[KILLED_IN]
    assert start_ms(on_air) < act.killed_ms < start_ms(on_air + 1)
    assert max(key.number for key in act.copies["a"] if key.number is not None) == on_air - 1


@for_every_event
def test_a_pipeline_that_is_down_adds_no_wait(act: Act) -> None:
    waits = 0
    for key, choice, copy in after_the_kill(act):
        assert key.number is not None
        assert choice.candidate == copy
        if is_a_down(act, key.number, copy.published_ms):
            assert (choice.decided_ms, choice.rule) == (copy.published_ms, Rule.FIRST_IN_ORDER)
            assert choice.losses == (("a", Loss.DOWN),)
        else:
            waits += 1
            assert 0 < choice.decided_ms - copy.published_ms <= PREFER_WAIT_MS
    tracks_count = len(act.delivered)
    # Two segments must have been missed before it is known, and the first of them was on air.
    assert tracks_count <= waits <= 2 * tracks_count


@for_every_event
def test_an_answer_is_sent_as_soon_as_its_segment_is_chosen(act: Act) -> None:
    for answer, key in segments(act):
        assert answer.answered_ms <= max(only_choice(act, key).decided_ms, answer.asked_ms) + ANSWER_MS_MAX


@for_every_event
def test_inspection_finds_no_defect_in_what_a_real_packager_sends(act: Act) -> None:
    for copies in act.copies.values():
        flawed = {key: (copy.defects, copy.facts) for key, copy in copies.items() if copy.defects}
        assert {key: found for key, found in flawed.items() if key.is_init or key.number in act.numbers} == {}
        assert all(copy.facts is not None and copy.facts.tracks for copy in copies.values())


@for_every_event
def test_an_answer_tells_what_the_journal_says(act: Act) -> None:
    regions = {"a": "us-east-1", "b": "us-west-2"}
    for answer, key in segments(act):
        copy = only_choice(act, key).candidate
        digest = hashlib.sha256(answer.body).hexdigest()[:32]
        assert (copy.digest, copy.size_bytes) == (digest, len(answer.body))
        assert answer.headers["ETag"] == f'"{digest}"'
        assert answer.headers["Live-Origin-Region"] == regions[copy.pipeline_id]
        assert f"{act.cast.event_id}/pipeline/{copy.pipeline_id}" in answer.headers["Cache-Tag"].split(",")
        assert "immutable" in answer.headers["Cache-Control"]
        assert "Live-Origin-Defects" not in answer.headers


@for_every_event
def test_a_segment_that_its_packager_has_deleted_is_still_delivered(act: Act) -> None:
    for rendition_id, answer in act.again.items():
        first = act.delivered[rendition_id][0]
        assert (answer.status, answer.headers["ETag"], answer.body) == (200, first.headers["ETag"], first.body)


@for_every_event
def test_no_packager_was_refused(act: Act) -> None:
    lines = [line for line in act.metrics.splitlines() if line.startswith("origin_publish_requests_total{")]
    outcomes = {line.partition('outcome="')[2].partition('"')[0] for line in lines}
    # A PUT is cut short when its packager is killed. Others may well be: what a kill hits is up to chance.
    assert {"stored", "manifest-stored", "manifest-renewed", "delete-ignored"} <= outcomes
    assert outcomes <= {"stored", "manifest-stored", "manifest-renewed", "delete-ignored", "renewed", "truncated"}


@for_every_event
def test_the_first_pipelines_manifest_is_delivered_until_it_is_out_of_date(act: Act) -> None:
    name = act.cast.format.manifest
    for pipeline_id, answer in (("a", act.manifests_before[name]), ("b", act.manifests_after[name])):
        assert (answer.status, answer.headers["Live-Origin-Pipeline"]) == (200, pipeline_id)
        published = [manifest.digest for manifest in act.manifests_published[name][pipeline_id]]
        assert hashlib.sha256(answer.body).hexdigest()[:32] in published
    assert act.manifests_before[name].body != act.manifests_after[name].body


@pytest.mark.parametrize("act", WITH_MASTER, indirect=True)
def test_a_master_playlist_that_is_written_once_stays(act: Act) -> None:
    name = act.cast.format.master
    assert name is not None
    before, after = act.manifests_before[name], act.manifests_after[name]
    assert (before.status, after.status) == (200, 200)
    assert before.headers["Live-Origin-Pipeline"] == after.headers["Live-Origin-Pipeline"] == "a"
    assert before.body == after.body
    assert before.body.startswith(b"#EXTM3U")


@pytest.mark.parametrize("act", ["dash", "hls-fmp4", "hls-shaka", "dash-shaka"], indirect=True)
def test_media_time_is_that_of_the_number_whoever_packaged_it(act: Act) -> None:
    """ffmpeg cuts sound that has a file of its own one codec frame before the grid, shaka-packager on it."""
    for answer, key in segments(act):
        assert key.number is not None
        video, audio = key.number * VIDEO_TICKS, key.number * AUDIO_TICKS
        by_shaka = act.cast.shaka is not None and answer.headers["Live-Origin-Pipeline"] == "b"
        audio_alone = audio if by_shaka else audio - AUDIO_FRAME_SAMPLES
        expected = {"0": [video], "1": [audio_alone], "av": [video, audio]}
        assert decode_times(answer.body) == expected[key.rendition_id]


@pytest.mark.parametrize("act", WITH_FFMPEG_ONLY, indirect=True)
def test_init_segments_of_both_pipelines_are_the_same_bytes(act: Act) -> None:
    for rendition_id, init in act.inits.items():
        key = SegmentKey(act.cast.event_id, rendition_id, None)
        digests = {act.copies[pipeline_id][key].digest for pipeline_id in "ab"}
        assert {f'"{digest}"' for digest in digests} == {init.headers["ETag"]}


@pytest.mark.parametrize("act", ["dash", "dash-shaka"], indirect=True)
def test_pipelines_that_began_at_different_segments_name_theirs_alike(act: Act) -> None:
    numbers = {key.number for key in act.copies["a"] if not key.is_init}
    assert numbers
    assert numbers <= {key.number for key in act.copies["b"]}


@pytest.mark.parametrize("act", WITH_SHAKA, indirect=True)
def test_shaka_packager_takes_over_although_its_init_segments_are_not_those_of_ffmpeg(act: Act) -> None:
    """Both describe the same decoder, so either one serves for the segments of both; see the decoding test."""
    for rendition_id, init in act.inits.items():
        key = SegmentKey(act.cast.event_id, rendition_id, None)
        assert act.copies["a"][key].digest != act.copies["b"][key].digest
        assert init.status == 200
