"""What may change in a running origin: everything, but for what caches and journal hold."""

from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest

from config.load import load_settings
from config.model import Settings
from config.problems import Location
from config.reference import iterate_settings
from origin.reload import REFUSALS, Changes, changes
from tests.config import raw

BEGIN_MS: Final = 1_795_370_400_000
END: Final = "2026-11-22T20:00:00Z"
END_MS: Final = BEGIN_MS + 7_200_000
V720: Final = {"id": "v720", "kind": "video", "timescale": 90_000, "bandwidth": 3_000_000}
A128: Final = {"id": "a128", "kind": "audio", "bandwidth": 128_000}
A: Final = {"id": "a", "region": "east"}
B: Final = {"id": "b", "region": "west"}
PEER: Final = {"region": "west", "url": "http://west.example:8080"}


def tree() -> dict[str, Any]:
    event = raw.event(
        media="$RepresentationID$/$Number$.m4s",
        start="2026-11-22T18:00:00Z",
        end=END,
        renditions=[V720, A128],
        pipelines=[A, B],
    )
    oaks = raw.event(id="oaks", hold_ahead="3s", live_edge="6s", recent="1m6s")
    return raw.settings(workers=2, region="east", peers=[PEER], events=[event, oaks])


def put(location: Location, value: object) -> dict[str, Any]:
    """Return the tree with one value set, or with one key less for `...`."""
    changed = tree()
    place: Any = changed
    for part in location[:-1]:
        place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
    if value is ...:
        del place[location[-1]]
    else:
        place[location[-1]] = deepcopy(value)
    return changed


@pytest.fixture
def running(tmp_path: Path) -> Settings:
    return raw.load(tmp_path, tree())


def compare(folder: Path, old: Settings, new: dict[str, Any], now_ms: int = BEGIN_MS) -> Changes:
    return changes(old, raw.load(folder, new), now_ms)


# Key, what it is set to, and what is told; a sentence that is refused says why.
APPLIED: Final[list[tuple[Location, object, str]]] = [
    (("storage", "ram"), "2GiB", "1GiB becomes 2GiB"),
    (("storage", "ssd"), "10GiB", "20GiB becomes 10GiB"),
    (("storage", "shrink_percent"), 80, "90 becomes 80"),
    (("storage", "refuse_old_percent"), 94, "95 becomes 94"),
    (("storage", "refuse_percent"), 97, "98 becomes 97"),
    (("limits", "segment_bytes"), "32MiB", "64MiB becomes 32MiB"),
    (("limits", "manifest_bytes"), "2MiB", "1MiB becomes 2MiB"),
    (("limits", "hold"), "9s", "8s becomes 9s"),
    (("limits", "holds"), 10, "20000 becomes 10"),
    (("limits", "holds_per_event"), 10, "10000 becomes 10"),
    (("limits", "holds_per_segment"), 10, "5000 becomes 10"),
    (("limits", "uploads"), 10, "512 becomes 10"),
    (("limits", "body_idle"), "10s", "15s becomes 10s"),
    (("limits", "connections"), 10, "32768 becomes 10"),
    (("limits", "connections_per_address"), 10, "2048 becomes 10"),
    (("limits", "head"), "5s", "10s becomes 5s"),
    (("limits", "head_bytes"), "16KiB", "8KiB becomes 16KiB"),
    (("limits", "keepalive"), "2m", "1m15s becomes 2m"),
    (("limits", "send_rate"), "1KiB", "64KiB becomes 1KiB"),
    (("limits", "unsent"), "2GiB", "1GiB becomes 2GiB"),
    (("limits", "reads"), 10, "256 becomes 10"),
    (("limits", "read_time"), "20ms", "5ms becomes 20ms"),
    (("limits", "loop_lag"), "20ms", "10ms becomes 20ms"),
    (("stop_timeout",), "5s", "10s becomes 5s"),
    (("log", "level"), "debug", "info becomes debug"),
    (("log", "requests"), False, "true becomes false"),
    (("log", "requests_per_second"), 10, "1000 becomes 10"),
    (("region",), ..., "east becomes null"),
    (("events", 0, "end"), None, "2026-11-22T20:00:00Z becomes null"),
    (("events", 0, "publish_delay"), "2s", "1s becomes 2s"),
    (("events", 0, "retry_deadline"), "9s", "10s becomes 9s"),
    (("events", 0, "dvr_window"), "1h", "30m becomes 1h"),
    (("events", 0, "retention"), "0s", "10m becomes 0s"),
    (("events", 0, "hold_ahead"), "4s", "3s becomes 4s"),
    (("events", 0, "recent"), "2m", "1m6s becomes 2m"),
    (("events", 0, "selection", "prefer_wait"), "0s", "100ms becomes 0s"),
    (("events", 0, "selection", "grace"), "1s", "500ms becomes 1s"),
    (("events", 0, "selection", "score"), "rank", "ignore becomes rank"),
    (("events", 0, "inspection", "checks"), "none", "all becomes none"),
    (("events", 0, "inspection", "time_frames"), 2, "1 becomes 2"),
    (("events", 0, "inspection", "audio_time_frames"), 2, "4 becomes 2"),
    (("events", 0, "inspection", "missing_frames"), 2, "0 becomes 2"),
    (("events", 0, "inspection", "audio_missing_frames"), 2, "1 becomes 2"),
    (("events", 0, "inspection", "gap_frames"), 2, "0 becomes 2"),
    (("events", 0, "renditions", 0, "bandwidth"), 2, "3000000 becomes 2"),
    (("events", 0, "renditions", 0, "codecs"), "avc1", "null becomes avc1"),
    (("events", 0, "renditions", 0, "width"), 2, "null becomes 2"),
    (("events", 0, "renditions", 0, "height"), 2, "null becomes 2"),
    (("events", 0, "renditions", 1, "language"), "en", "null becomes en"),
    (("events", 0, "pipelines", 1, "region"), ..., "west becomes b"),
]

REFUSED: Final[list[tuple[Location, object, str]]] = [
    (
        ("listen", "publish"),
        "127.0.0.1:9000",
        "127.0.0.1:8081 cannot become 127.0.0.1:9000 in a running origin: the sockets are open; stop the origin,",
    ),
    (("listen", "deliver"), "127.0.0.1:9000", "127.0.0.1:8080 cannot become 127.0.0.1:9000"),
    (("listen", "admin"), "127.0.0.1:9000", "127.0.0.1:8082 cannot become 127.0.0.1:9000"),
    (("workers",), 3, "2 cannot become 3 in a running origin: each deliver process has a socket"),
    (("workers",), 0, "2 cannot become 0 in a running origin: each deliver process has a socket"),
    (("storage", "path"), "elsewhere", "data cannot become elsewhere in a running origin"),
    (("storage", "acknowledge"), "fsync", "disk cannot become fsync in a running origin"),
    (
        ("events", 0, "epoch"),
        "2020-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z cannot become 2020-01-01T00:00:00Z while the event exists: its numbers would mean other",
    ),
    (("events", 0, "start_number"), 1, "0 cannot become 1 while the event exists"),
    (("events", 1, "segment_duration"), "1920ms", "2s cannot become 1920ms while the event exists"),
    (("events", 0, "start"), None, "2026-11-22T18:00:00Z cannot become null while the event exists"),
    (("events", 0, "media"), "$RepresentationID$-$Number$.m4s", "$RepresentationID$/$Number$.m4s cannot become"),
    (("events", 0, "init"), "$RepresentationID$.mp4", "$RepresentationID$/init.mp4 cannot become"),
    (("events", 0, "init"), None, "$RepresentationID$/init.mp4 cannot become null while the event exists"),
    (("events", 0, "renditions", 1, "media"), "s$Number$.m4s", "$RepresentationID$/$Number$.m4s cannot become s$N"),
    (("events", 0, "renditions", 1, "init"), "i.mp4", "$RepresentationID$/init.mp4 cannot become i.mp4"),
    (("events", 0, "renditions", 0, "timescale"), 1_000, "90000 cannot become 1000 while the event exists"),
    (("events", 0, "renditions", 1, "timescale"), 44_100, "48000 cannot become 44100 while the event exists"),
    (("events", 0, "renditions", 0, "kind"), "muxed", "video cannot become muxed while the event exists"),
]


def key_of(case: tuple[Location, object, str]) -> str:
    return ".".join("[]" if isinstance(part, int) else part for part in case[0]).replace(".[]", "[]")


def shown_key(location: Location) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)[1:]


@pytest.mark.parametrize("case", APPLIED, ids=key_of)
def test_what_caches_and_journal_do_not_hold_may_change(
    tmp_path: Path, running: Settings, case: tuple[Location, object, str]
) -> None:
    location, value, text = case
    told = compare(tmp_path, running, put(location, value))
    assert told == Changes((f"{shown_key(location)}: {text}",), ())


@pytest.mark.parametrize("case", REFUSED, ids=key_of)
def test_what_caches_and_journal_hold_is_refused_with_a_remedy(
    tmp_path: Path, running: Settings, case: tuple[Location, object, str]
) -> None:
    location, value, text = case
    told = compare(tmp_path, running, put(location, value))
    assert told.applied == ()
    (sentence,) = told.refused
    assert sentence.startswith(f"{shown_key(location)}: {text}")
    assert sentence.endswith(f"; {REFUSALS[key_of(case)].remedy}")


def test_every_setting_has_a_case() -> None:
    """A new one has to be thought about: what is not refused is applied."""
    of_their_own = {"events[].live_edge", "peers[].region", "peers[].url"}
    ids = {"events[].id", "events[].renditions[].id", "events[].pipelines[].id"}
    cases = {key_of(case) for case in (*APPLIED, *REFUSED)}
    assert cases | of_their_own | ids == {setting.key for setting in iterate_settings()}
    assert {key_of(case) for case in REFUSED} == set(REFUSALS)


def test_the_same_settings_change_nothing(tmp_path: Path, running: Settings) -> None:
    assert compare(tmp_path, running, tree()) == Changes((), ())


def test_a_default_that_is_written_down_changes_nothing(tmp_path: Path, running: Settings) -> None:
    new = tree()
    new["events"][0] |= {"hold_ahead": "3s", "live_edge": "6s", "recent": "1m6s", "init": "$RepresentationID$/init.mp4"}
    new["events"][0]["renditions"][1] |= {"timescale": 48_000, "media": "a128/$Number$.m4s", "init": "a128/init.mp4"}
    new["events"][1]["pipelines"] = [raw.PIPELINE | {"region": "a"}]
    assert compare(tmp_path, running, new) == Changes((), ())


def test_an_events_template_that_no_rendition_uses_may_change(tmp_path: Path, running: Settings) -> None:
    new = put(("events", 1, "media"), "elsewhere/$Number$.m4s")
    new["events"][1]["renditions"][0]["media"] = "v720/$Number$.m4s"
    assert compare(tmp_path, running, new) == Changes((), ())


def test_the_examples_change_nothing_against_themselves() -> None:
    paths = sorted((Path(__file__).parents[2] / "config" / "examples").glob("*.yaml"))
    assert paths
    for path in paths:
        settings = load_settings(path, {}, ())
        assert changes(settings, settings, BEGIN_MS) == Changes((), ())


def test_what_follows_from_a_change_is_told_with_it(tmp_path: Path, running: Settings) -> None:
    told = compare(tmp_path, running, put(("events", 0, "live_edge"), "10s"))
    assert told.applied == ("events[0].live_edge: 6s becomes 10s", "events[0].recent: 1m6s becomes 1m10s")


PEERS: Final = [
    ("added", [PEER, {"region": "north", "url": "http://north.example"}], "west http://west.example:8080, north http:"),
    ("removed", [], "an empty list"),
    ("elsewhere", [{"region": "south", "url": PEER["url"]}], "south http://west.example:8080"),
]


@pytest.mark.parametrize(("peers", "text"), [case[1:] for case in PEERS], ids=[case[0] for case in PEERS])
def test_peers_may_change(tmp_path: Path, running: Settings, peers: list[object], text: str) -> None:
    told = compare(tmp_path, running, put(("peers",), peers))
    (sentence,) = told.applied
    assert sentence.startswith(f"peers: west http://west.example:8080 becomes {text}")
    assert told.refused == ()


def test_events_renditions_and_pipelines_may_be_added(tmp_path: Path, running: Settings) -> None:
    new = tree()
    new["events"].insert(0, raw.event(id="ascot"))
    new["events"][1]["renditions"].insert(1, V720 | {"id": "v480"})
    new["events"][1]["pipelines"].append({"id": "c"})
    assert compare(tmp_path, running, new) == Changes(
        (
            "events[0]: event 'ascot' is added",
            "events[1].renditions[1]: rendition 'v480' is added",
            "events[1].pipelines[2]: pipeline 'c' is added",
        ),
        (),
    )


@pytest.mark.parametrize(("now_ms", "is_over"), [(END_MS - 1, False), (END_MS, True)])
@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        (("events", 0), "events: event 'derby'"),
        (("events", 0, "renditions", 0), "events[0].renditions: rendition 'v720'"),
        (("events", 0, "pipelines", 0), "events[0].pipelines: pipeline 'a'"),
    ],
)
def test_what_belongs_to_an_event_may_go_when_it_is_over(
    tmp_path: Path, running: Settings, location: Location, sentence: str, now_ms: int, is_over: bool
) -> None:
    told = compare(tmp_path, running, put(location, ...), now_ms)
    if is_over:
        assert told == Changes((f"{sentence} is removed",), ())
    else:
        (refused,) = told.refused
        assert refused.startswith(f"{sentence} cannot be removed before the event is over: ")
        assert refused.endswith("; set the event's end, and remove it when that has passed")
        assert told.applied == ()


@pytest.mark.parametrize("end", [None, "2026-11-23T00:00:00Z"])
def test_nothing_goes_from_an_event_that_is_to_go_on(tmp_path: Path, running: Settings, end: str | None) -> None:
    new = put(("events", 0, "pipelines", 0), ...)
    new["events"][0]["end"] = end
    told = compare(tmp_path, running, new, END_MS)
    assert len(told.applied) == len(told.refused) == 1


def test_an_event_without_an_end_is_never_over(tmp_path: Path, running: Settings) -> None:
    told = compare(tmp_path, running, put(("events", 1), ...), END_MS)
    assert [sentence.split(" cannot")[0] for sentence in told.refused] == ["events: event 'oaks'"]


def test_an_event_that_is_renamed_is_another_one(tmp_path: Path, running: Settings) -> None:
    told = compare(tmp_path, running, put(("events", 0, "id"), "derby-2"), END_MS)
    assert told.applied == ("events[0]: event 'derby-2' is added", "events: event 'derby' is removed")


def test_the_order_of_pipelines_may_change_and_that_of_events_and_renditions_means_nothing(
    tmp_path: Path, running: Settings
) -> None:
    new = tree()
    new["events"].reverse()
    new["events"][1]["renditions"].reverse()
    new["events"][1]["pipelines"] = [{"id": "c"}, B, A]
    assert compare(tmp_path, running, new) == Changes(
        (
            "events[1].pipelines[0]: pipeline 'c' is added",
            "events[1].pipelines: the selection order becomes c, b, a",
        ),
        (),
    )


def test_everything_is_told_at_once_and_a_shared_template_once(tmp_path: Path, running: Settings) -> None:
    new = put(("events", 0, "media"), "x/$RepresentationID$/$Number$.m4s")
    new["events"][0] |= {"start_number": 7, "dvr_window": "1h"}
    new["log"] = {"level": "debug"}
    new["storage"] = {"path": "elsewhere"}
    told = compare(tmp_path, running, new)
    assert told.applied == ("log.level: info becomes debug", "events[0].dvr_window: 30m becomes 1h")
    assert [sentence.split(":")[0] for sentence in told.refused] == [
        "storage.path",
        "events[0].start_number",
        "events[0].media",
    ]
