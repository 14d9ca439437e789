"""Where a body stands in time is told by its key and its event."""

from storage.base import BodyKey, body_key, manifest_key
from storage.eviction import MediaPlace
from storage.media_places import media_place
from tests.support.events import make_event, make_key, make_rendition

EVENTS = {
    event.id: event
    for event in (
        make_event(renditions=[make_rendition("v720"), make_rendition("a128")]),
        make_event("oaks", epoch_ms=5_000, duration=4, start_number=7, end_ms=60_000),
    )
}
DIGEST = "0123456789abcdef0123456789abcdef"
GONE = MediaPlace(None, 0, 0)


def place(number: int | None, rendition_id: str = "v720", event_id: str = "derby") -> MediaPlace | None:
    return media_place(EVENTS, body_key(make_key(number, rendition_id, event_id), "a", DIGEST))


def test_a_segment_is_as_old_as_the_end_of_its_media() -> None:
    assert place(10) == MediaPlace("derby/v720", 10, 22_000)
    assert place(10, "a128") == MediaPlace("derby/a128", 10, 22_000)
    assert place(8, event_id="oaks") == MediaPlace("oaks/v720", 8, 13_000)


def test_a_number_outside_of_its_event_has_a_time_like_all_others() -> None:
    assert place(2, event_id="oaks") == MediaPlace("oaks/v720", 2, -11_000)
    assert place(1_000, event_id="oaks") == MediaPlace("oaks/v720", 1_000, 3_981_000)


def test_init_segments_and_manifests_have_no_media_time() -> None:
    assert place(None) is None
    assert media_place(EVENTS, manifest_key("derby", "live.mpd", "a", DIGEST)) is None


def test_what_has_left_the_configuration_is_older_than_everything_and_unprotected() -> None:
    assert place(10, event_id="ascot") == place(None, event_id="ascot") == GONE
    assert place(10, "v480") == GONE
    assert media_place(EVENTS, manifest_key("ascot", "live.mpd", "a", DIGEST)) == GONE
    assert media_place(EVENTS, BodyKey("")) == GONE
