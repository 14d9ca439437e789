"""The settings of an event become the event that decisions are made of."""

from fractions import Fraction
from typing import Any

import pytest

from config.event import EventSettings
from selection.model import (
    Event,
    Kind,
    Pipeline,
    Rendition,
    ScoreMode,
    SelectionPolicy,
    event_timeline,
    rendition_template,
)
from tests.config.raw import event


def to_event(**changes: Any) -> Event:
    return EventSettings.model_validate(event(**changes)).to_event()


def test_event_with_the_least_settings_has_the_documented_defaults() -> None:
    assert to_event() == Event(
        id="derby",
        timeline=event_timeline(0, Fraction(2), 0),
        renditions=(
            Rendition(
                id="v720",
                kind=Kind.VIDEO,
                timescale=90_000,
                bandwidth=3_000_000,
                media=rendition_template("$RepresentationID$/$Number$.m4s", "v720"),
                init=rendition_template("$RepresentationID$/init.mp4", "v720"),
            ),
        ),
        pipelines=(Pipeline("a", "a"),),
        publish_delay_ms=1_000,
        retry_deadline_ms=10_000,
        dvr_window_ms=1_800_000,
        retention_ms=600_000,
        hold_ahead_ms=3_000,
        live_edge_ms=6_000,
        recent_ms=66_000,
        policy=SelectionPolicy(100, 500, ScoreMode.IGNORE),
    )


def test_every_setting_reaches_the_event() -> None:
    made = to_event(
        epoch="2020-01-01T00:00:00Z",
        start_number=7,
        segment_duration="60060/30000",
        start="2026-11-22T18:00:00Z",
        end="2026-11-22T20:00:00Z",
        publish_delay="2s",
        retry_deadline="3s",
        dvr_window="4m",
        retention="5m",
        hold_ahead="6s",
        live_edge="9s",
        recent="10s",
        media="$RepresentationID$-$Time$.cmfa",
        init="$RepresentationID$.cmfa",
        selection={"prefer_wait": "7ms", "grace": "8ms", "score": "rank"},
        renditions=[
            {
                "id": "a128",
                "kind": "audio",
                "timescale": 44_100,
                "bandwidth": 9,
                "codecs": "mp4a.40.2",
                "width": 10,
                "height": 11,
                "language": "en",
            }
        ],
        pipelines=[{"id": "b", "region": "us-west-2"}, {"id": "a"}],
    )
    assert made == Event(
        id="derby",
        timeline=event_timeline(1_577_836_800_000, Fraction(1001, 500), 7),
        renditions=(
            Rendition(
                id="a128",
                kind=Kind.AUDIO,
                timescale=44_100,
                bandwidth=9,
                media=rendition_template("$RepresentationID$-$Time$.cmfa", "a128"),
                init=rendition_template("$RepresentationID$.cmfa", "a128"),
                codecs="mp4a.40.2",
                width=10,
                height=11,
                language="en",
            ),
        ),
        pipelines=(Pipeline("b", "us-west-2"), Pipeline("a", "a")),
        publish_delay_ms=2_000,
        retry_deadline_ms=3_000,
        dvr_window_ms=240_000,
        retention_ms=300_000,
        hold_ahead_ms=6_000,
        live_edge_ms=9_000,
        recent_ms=10_000,
        start_ms=1_795_370_400_000,
        end_ms=1_795_377_600_000,
        policy=SelectionPolicy(7, 8, ScoreMode.RANK),
    )


def test_segment_duration_is_exact() -> None:
    timeline = to_event(segment_duration="1920ms").timeline
    assert (timeline.duration_ticks, timeline.timescale) == (48, 25)


@pytest.mark.parametrize(
    ("segment_duration", "hold_ahead_ms"), [("2s", 3_000), ("60060/30000", 3_002), ("1001/300", 4_337)]
)
def test_hold_ahead_is_by_default_a_segment_rounded_up_and_a_second(segment_duration: str, hold_ahead_ms: int) -> None:
    assert to_event(segment_duration=segment_duration).hold_ahead_ms == hold_ahead_ms


@pytest.mark.parametrize(
    ("kind", "timescale"), [("video", 90_000), ("muxed", 90_000), ("text", 90_000), ("audio", 48_000)]
)
def test_timescale_has_a_default_for_each_kind(kind: str, timescale: int) -> None:
    assert to_event(renditions=[{"id": "x", "kind": kind, "bandwidth": 1}]).renditions[0].timescale == timescale


V720: dict[str, Any] = {"id": "v720", "kind": "video", "bandwidth": 1}
ABSENT: Any = object()
MP4, TS = "$RepresentationID$/$Number$.m4s", "$RepresentationID$/$Number$.ts"


@pytest.mark.parametrize(
    ("media", "event_init", "rendition_init", "init"),
    [
        (MP4, ABSENT, ABSENT, "v720/init.mp4"),
        ("$Number$.mp4", ABSENT, ABSENT, "v720/init.mp4"),
        ("$Number$.cmfv", ABSENT, ABSENT, "v720/init.mp4"),
        (TS, ABSENT, ABSENT, None),
        ("$Number$.vtt", ABSENT, ABSENT, None),
        (MP4, None, ABSENT, None),
        (MP4, "i.mp4", ABSENT, "i.mp4"),
        (TS, "i.mp4", ABSENT, "i.mp4"),
        (MP4, "i.mp4", None, None),
        (MP4, None, "own.mp4", "own.mp4"),
        (MP4, ABSENT, None, None),
        (MP4, ABSENT, "own.mp4", "own.mp4"),
    ],
)
def test_init_comes_from_the_rendition_then_the_event_then_the_media(
    media: str, event_init: Any, rendition_init: Any, init: str | None
) -> None:
    changes = {} if event_init is ABSENT else {"init": event_init}
    rendition = V720 if rendition_init is ABSENT else V720 | {"init": rendition_init}
    (made,) = to_event(media=media, renditions=[rendition], **changes).renditions
    assert (made.init.format(0, 0) if made.init is not None else None) == init


def test_media_of_a_rendition_comes_before_that_of_the_event() -> None:
    own, shared = to_event(renditions=[V720 | {"id": "x", "media": "seg-$Number$.ts"}, V720]).renditions
    assert (own.media.format(7, 0), own.init) == ("seg-7.ts", None)
    assert shared.media.format(7, 0) == "v720/7.m4s"
