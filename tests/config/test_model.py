"""All settings: defaults, bounds, and the rules across sections."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from config.model import Address, Settings, default_workers
from config.problems import BrokenRules, Location, key_path
from config.section import field_at, written
from selection.capacity import CapacityPolicy
from selection.model import Event
from tests.config.raw import changed, event, settings


def made(**changes: Any) -> Settings:
    return Settings.model_validate(settings(**changes))


def findings(**changes: Any) -> list[tuple[str, str, str]]:
    """Return key, message and remedy of every rule that is broken."""
    with pytest.raises(ValidationError) as caught:
        made(**changes)
    (error,) = caught.value.errors()
    broken = error["ctx"]["error"]
    assert isinstance(broken, BrokenRules)
    return [(key_path(finding.locations[0]), finding.message, finding.remedy) for finding in broken.findings]


def test_settings_have_the_documented_defaults() -> None:
    least = made()
    assert least.listen.publish == Address("127.0.0.1", 8081)
    assert least.listen.deliver == Address("127.0.0.1", 8080)
    assert least.listen.admin == Address("127.0.0.1", 8082)
    assert least.storage.path == Path("data")
    assert (least.storage.ram_bytes, least.storage.ssd_bytes) == (1024**3, 20 * 1024**3)
    assert least.storage.acknowledge == "disk"
    storage = least.storage
    assert CapacityPolicy() == CapacityPolicy(
        storage.shrink_percent, storage.refuse_old_percent, storage.refuse_percent
    )
    assert least.workers == default_workers() >= 1
    assert (least.limits.segment_bytes, least.limits.manifest_bytes) == (64 * 1024**2, 1024**2)
    assert (least.limits.hold_ms, least.limits.holds) == (8_000, 20_000)
    assert (least.limits.uploads, least.limits.body_idle_ms) == (512, 15_000)
    assert least.stop_timeout_ms == 10_000
    log = least.log
    assert (log.level, log.requests, log.requests_per_second) == ("info", True, 1_000)
    assert (least.region, least.peers, least.backups) == (None, (), ())


def test_limits_of_load_and_of_clients_have_the_documented_defaults() -> None:
    limits = made().limits
    assert (limits.holds_per_event, limits.holds_per_segment) == (10_000, 5_000)
    assert (limits.connections, limits.connections_per_address) == (32_768, 2_048)
    assert (limits.head_ms, limits.head_bytes, limits.keepalive_ms) == (10_000, 8_192, 75_000)
    assert (limits.send_rate_bytes, limits.unsent_bytes) == (64 * 1024, 1024**3)
    assert (limits.reads, limits.read_time_ms, limits.loop_lag_ms) == (256, 5, 10)


def test_settings_become_events_in_order() -> None:
    events = made(events=[event(id="derby"), event(id="match")]).to_events()
    assert [type(made_event) for made_event in events] == [Event, Event]
    assert [made_event.id for made_event in events] == ["derby", "match"]


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        made().workers = 2  # type: ignore[misc]


def test_settings_are_dumped_as_a_file_spells_them_and_read_back() -> None:
    first = made(
        listen={"publish": "[::1]:8081"}, limits={"hold": "6s"}, events=[event(segment_duration="60060/30000")]
    )
    dumped = first.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert dumped["listen"] == {"publish": "[::1]:8081"}
    assert dumped["limits"] == {"hold": "6s"}
    assert dumped["events"][0]["segment_duration"] == "2002ms"
    assert Settings.model_validate(dumped) == first


# Each with its least and its greatest value; what lies just outside is refused.
BOUNDS: list[tuple[Location, Any, Any]] = [
    (("storage", "ram"), 1024**2, 16 * 1024**4),
    (("storage", "ssd"), 1024**2, 256 * 1024**4),
    (("storage", "shrink_percent"), 10, 99),
    (("storage", "refuse_old_percent"), 10, 99),
    (("storage", "refuse_percent"), 10, 99),
    (("limits", "segment_bytes"), 1024, 1024**3),
    (("limits", "manifest_bytes"), 1024, 64 * 1024**2),
    (("limits", "hold"), 0, 120_000),
    (("limits", "holds"), 0, 1_000_000),
    (("limits", "holds_per_event"), 0, 1_000_000),
    (("limits", "holds_per_segment"), 0, 1_000_000),
    (("limits", "uploads"), 1, 65_536),
    (("limits", "body_idle"), 100, 600_000),
    (("limits", "connections"), 1, 1_000_000),
    (("limits", "connections_per_address"), 1, 1_000_000),
    (("limits", "head"), 100, 600_000),
    (("limits", "head_bytes"), 1024, 64 * 1024),
    (("limits", "keepalive"), 1_000, 3_600_000),
    (("limits", "send_rate"), 0, 1024**3),
    (("limits", "unsent"), 1024**2, 16 * 1024**4),
    (("limits", "reads"), 1, 65_536),
    (("limits", "read_time"), 1, 10_000),
    (("limits", "loop_lag"), 1, 10_000),
    (("log", "requests_per_second"), 1, 1_000_000),
    (("stop_timeout",), 0, 600_000),
    (("events", 0, "start_number"), 0, 10**12),
    (("events", 0, "publish_delay"), 0, 600_000),
    (("events", 0, "retry_deadline"), 1, 86_400_000),
    (("events", 0, "dvr_window"), 100, 30 * 86_400_000),
    (("events", 0, "retention"), 0, 30 * 86_400_000),
    (("events", 0, "hold_ahead"), 0, 120_000),
    (("events", 0, "live_edge"), 0, 600_000),
    (("events", 0, "recent"), 0, 86_400_000),
    (("events", 0, "selection", "prefer_wait"), 0, 60_000),
    (("events", 0, "selection", "grace"), 0, 600_000),
    (("events", 0, "renditions", 0, "timescale"), 1, 10**9),
    (("events", 0, "renditions", 0, "bandwidth"), 1, 10**10),
    (("events", 0, "renditions", 0, "width"), 1, 65_535),
    (("events", 0, "renditions", 0, "height"), 1, 65_535),
]
PERCENTS = ("shrink_percent", "refuse_old_percent", "refuse_percent")
HOLDS = ("holds", "holds_per_event", "holds_per_segment")
CONNECTIONS = ("connections", "connections_per_address")
RATES = ("uploads", "reads", "requests_per_second")
NUMBERS = (*PERCENTS, *HOLDS, *CONNECTIONS, *RATES, "start_number", "timescale", "bandwidth", "width", "height")


def bound_error(location: Location, value: int) -> str | None:
    """Return the kind of complaint about one value, or None; rules across settings don't count here."""
    field = field_at(Settings, location)
    assert field is not None
    spelled = value if location[-1] in NUMBERS or value < 0 else written(field, value)
    try:
        Settings.model_validate(changed(location, spelled))
    except ValidationError as exc:
        kinds = {error["type"]: error["loc"] for error in exc.errors()}
        return next((kind for kind, place in kinds.items() if place == location), None)
    return None


@pytest.mark.parametrize(("location", "least", "greatest"), BOUNDS)
def test_setting_takes_its_bounds_and_nothing_beyond(location: Location, least: int, greatest: int) -> None:
    assert bound_error(location, least) is None
    assert bound_error(location, greatest) is None
    assert bound_error(location, least - 1) in ("greater_than_equal", "value_error")
    assert bound_error(location, greatest + 1) == "less_than_equal"


@pytest.mark.parametrize("text", ["100ms", "60s"])
def test_segment_duration_takes_its_bounds(text: str) -> None:
    made(
        limits={"hold": "2m", "body_idle": "10m"},
        events=[event(segment_duration=text, selection={"prefer_wait": "0s"})],
    )


@pytest.mark.parametrize(("text", "bound"), [("2999/30000", "greater than or equal to 1/10"), ("60001/1000", "60")])
def test_segment_duration_beyond_its_bounds_is_refused(text: str, bound: str) -> None:
    with pytest.raises(ValidationError, match=bound):
        made(events=[event(segment_duration=text)])


@pytest.mark.parametrize(
    ("workers", "text"),
    [
        (-1, "greater than or equal to 0"),
        (65, "less than or equal to 64"),
        ("1", "valid integer"),
        (False, "valid integer"),
    ],
)
def test_numbers_of_workers_that_make_no_sense_are_refused(workers: Any, text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        made(workers=workers)


@pytest.mark.parametrize("workers", [0, 1, 64])
def test_one_process_or_many_can_be_asked_for(workers: int) -> None:
    assert made(workers=workers).workers == workers


@pytest.mark.parametrize(("cores", "workers"), [(None, 1), (1, 1), (2, 1), (3, 2), (48, 47), (65, 64), (256, 64)])
def test_by_default_one_core_is_left_to_publishing(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, workers: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert made().workers == default_workers() == workers


PEER = {"region": "us-west-2", "url": "http://west.example"}

KEEPS: list[dict[str, Any]] = [
    {"storage": {"ram": "64MiB"}},
    {"storage": {"ram": "20GiB"}},
    {"storage": {"shrink_percent": 94}},
    {"storage": {"refuse_old_percent": 97}},
    {"storage": {"refuse_percent": 96}},
    {"listen": {"publish": "127.0.0.1:0", "deliver": "127.0.0.1:0", "admin": "127.0.0.1:0"}},
    {"limits": {"hold": "3s"}},
    {"limits": {"hold": "2s"}, "events": [event(hold_ahead="2s")]},
    {"limits": {"body_idle": "4001ms"}},
    {"peers": [PEER, PEER | {"url": "http://west.example:81"}]},
]


@pytest.mark.parametrize("changes", KEEPS)
def test_settings_at_the_bound_of_a_rule_keep_it(changes: dict[str, Any]) -> None:
    made(**changes)


BREAKS: list[tuple[dict[str, Any], str, str, str]] = [
    (
        {"listen": {"deliver": "0.0.0.0:8081"}},
        "listen.deliver",
        "listen.deliver is 0.0.0.0:8081 and listen.publish is 127.0.0.1:8081: two servers cannot share a port",
        "give listen.deliver another port, or 0 for any free one",
    ),
    (
        {"storage": {"ram": "63MiB"}},
        "limits.segment_bytes",
        "limits.segment_bytes is 64MiB and storage.ram is 63MiB: the largest segment would not fit into memory",
        "make limits.segment_bytes at most 63MiB, or storage.ram at least 64MiB",
    ),
    (
        {"storage": {"ssd": "1023MiB"}},
        "storage.ram",
        (
            "storage.ram is 1GiB and storage.ssd is 1023MiB: memory holds copies of what is on disk, so the rest would"
            " stay empty"
        ),
        "make storage.ram at most 1023MiB, or storage.ssd at least 1GiB",
    ),
    (
        {"storage": {"shrink_percent": 95}},
        "storage.shrink_percent",
        (
            "storage.shrink_percent is 95 and storage.refuse_old_percent is 95: segments would be refused before room"
            " is made"
        ),
        "make storage.shrink_percent less than 95, or storage.refuse_old_percent more than 95",
    ),
    (
        {"storage": {"refuse_percent": 94}},
        "storage.refuse_old_percent",
        (
            "storage.refuse_old_percent is 95 and storage.refuse_percent is 94: live segments would be refused no later"
            " than old ones"
        ),
        "make storage.refuse_old_percent less than 94, or storage.refuse_percent more than 95",
    ),
    (
        {"events": [event(), event()]},
        "events[1].id",
        "'derby' is the id of events[0], too",
        "give each its own id",
    ),
    (
        {"limits": {"hold": "2999ms"}},
        "limits.hold",
        (
            "limits.hold is 2999ms and events[0].hold_ahead is 3s by default (one segment and a second): the hold would"
            " end before the segment is due"
        ),
        "make limits.hold at least 3s",
    ),
    (
        {"limits": {"hold": "2999ms"}, "events": [event(hold_ahead="3s")]},
        "events[0].hold_ahead",
        "events[0].hold_ahead is 3s and limits.hold is 2999ms: the hold would end before the segment is due",
        "make events[0].hold_ahead at most 2999ms, or limits.hold at least 3s",
    ),
    (
        {"limits": {"body_idle": "8s"}, "events": [event(), event(id="slow", segment_duration="4s")]},
        "limits.body_idle",
        (
            "limits.body_idle is 8s and events[1].segment_duration is 4s: ffmpeg opens a PUT a whole segment before its"
            " body"
        ),
        "make limits.body_idle more than twice as long as the segment: over 8s",
    ),
    (
        {"peers": [PEER, {"region": "elsewhere", "url": "HTTP://West.example:80/"}]},
        "peers[1].url",
        "http://west.example is peers[0], too",
        "list each peer once",
    ),
    (
        {"events": [event(), event(id="match", retry_deadline="1h")]},
        "events[1].retry_deadline",
        "retry_deadline is 1h and dvr_window is 30m: a segment would leave the window before it is given up",
        "make retry_deadline at most 30m, or dvr_window at least 1h",
    ),
]


@pytest.mark.parametrize(("changes", "key", "message", "remedy"), BREAKS)
def test_broken_rule_is_found_with_keys_reason_and_remedy(
    changes: dict[str, Any], key: str, message: str, remedy: str
) -> None:
    assert findings(**changes) == [(key, message, remedy)]


def test_every_pair_of_servers_on_one_port_is_found() -> None:
    same = dict.fromkeys(("publish", "deliver", "admin"), "127.0.0.1:80")
    assert [key for key, _, _ in findings(listen=same)] == ["listen.deliver", "listen.admin", "listen.admin"]


def test_peers_of_this_region_are_no_backups_so_that_all_origins_can_have_one_list() -> None:
    east = {"region": "us-east-1", "url": "http://east.example"}
    both = [east, PEER]
    for region, urls in (
        (None, ["http://east.example", "http://west.example"]),
        ("us-east-1", ["http://west.example"]),
        ("us-west-2", ["http://east.example"]),
        ("eu-west-1", ["http://east.example", "http://west.example"]),
    ):
        assert [peer.url for peer in made(region=region, peers=both).backups] == urls
