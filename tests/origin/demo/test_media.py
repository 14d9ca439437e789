"""The demo's own arithmetic agrees with the server's, which it shall be able to catch."""

from pathlib import Path

import pytest

from config.load import load_settings
from origin.demo import media
from origin.demo.configuration import FILE_NAME, configuration_text
from origin.demo.media import TRACKS, Track
from selection.model import Event, SegmentKey
from selection.names import EventNames
from selection.window import due_ms

NUMBERS = (1, 2, 935_091_412, 935_091_413)


@pytest.fixture
def event(tmp_path: Path) -> Event:
    (tmp_path / FILE_NAME).write_text(configuration_text(tmp_path, start_ms=0))
    (event,) = load_settings(tmp_path / FILE_NAME, {}, []).to_events()
    return event


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("track", TRACKS, ids=lambda track: track.rendition_id)
def test_a_name_means_the_same_number_to_the_origin(event: Event, track: Track, number: int) -> None:
    name = track.media_name(number)
    assert EventNames(event).parse(name) == SegmentKey(media.EVENT_ID, track.rendition_id, number)
    assert media.segment_of_name(name) == (track, number)


@pytest.mark.parametrize("track", TRACKS, ids=lambda track: track.rendition_id)
def test_an_init_name_means_the_same_to_the_origin(event: Event, track: Track) -> None:
    assert EventNames(event).parse(track.init_name) == SegmentKey(media.EVENT_ID, track.rendition_id, None)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_begins_ends_and_is_due_when_the_origin_says_so(event: Event, number: int) -> None:
    assert media.start_ms(number) == event.timeline.start_ms(number)
    assert media.end_ms(number) == event.timeline.end_ms(number)
    assert media.due_ms(number) == due_ms(event, number)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_next_number_begins_later_and_the_newest_has_ended(number: int) -> None:
    for at_ms in (media.start_ms(number), media.end_ms(number) - 1):
        assert media.next_number(at_ms) == number + 1
        assert media.newest_ended(at_ms) == number - 1


def test_the_times_ffmpeg_was_seen_to_write_are_expected() -> None:
    video, _, audio = TRACKS
    assert video.media_name(935_091_190) == "r0-t22980801085440.m4s"
    assert audio.media_name(935_091_190) == "r2-t86178004069376.m4s"


@pytest.mark.parametrize("name", ["init-0.mp4", "live.mpd", "r3-t24576.m4s", "r0-t.m4s", "r0-t1.m4s.bak"])
def test_other_names_are_no_segment(name: str) -> None:
    assert media.segment_of_name(name) is None
