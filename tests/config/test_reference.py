"""The settings table is made from the declarations, and nothing is left out."""

import pytest
from pydantic.fields import FieldInfo

from config.model import Settings
from config.reference import bounds_text, choices, default_text, iterate_settings, limit, settings_table
from config.section import field_at

FIELDS: dict[str, FieldInfo] = {setting.key: setting.field for setting in iterate_settings()}


def test_every_setting_is_listed_once_in_the_order_of_declaration() -> None:
    keys = [setting.key for setting in iterate_settings()]
    assert len(keys) == len(set(keys))
    assert keys[:4] == ["listen.publish", "listen.deliver", "listen.admin", "storage.path"]
    assert keys[-2:] == ["events[].pipelines[].id", "events[].pipelines[].region"]


@pytest.mark.parametrize(
    ("key", "variable"),
    [
        ("listen.publish", "LIVE_ORIGIN_LISTEN__PUBLISH"),
        ("workers", "LIVE_ORIGIN_WORKERS"),
        ("limits.segment_bytes", "LIVE_ORIGIN_LIMITS__SEGMENT_BYTES"),
        ("events[].id", None),
        ("events[].renditions[].id", None),
    ],
)
def test_setting_outside_lists_has_a_variable(key: str, variable: str | None) -> None:
    (setting,) = (setting for setting in iterate_settings() if setting.key == key)
    assert setting.environment_name == variable


def test_location_of_a_setting_leads_to_its_declaration() -> None:
    for setting in iterate_settings():
        assert setting.location is None or field_at(Settings, setting.location) is setting.field


@pytest.mark.parametrize("key", FIELDS)
def test_setting_says_what_it_means_in_one_sentence(key: str) -> None:
    description = FIELDS[key].description or ""
    assert description[:1].isupper() and description.endswith(".")
    assert ". " not in description


def test_required_setting_has_an_example_to_stand_in_for_it() -> None:
    required = [field for field in FIELDS.values() if field.is_required()]
    lists = [("events",), ("events", 0, "renditions"), ("events", 0, "pipelines")]
    required += [field for field in (field_at(Settings, location) for location in lists) if field is not None]
    assert len(required) == 8 + len(lists)
    assert all(field.examples for field in required)


CELLS = [
    ("listen.publish", "`127.0.0.1:8081`", "host:port; port 0 is any free one"),
    ("storage.path", "`data`", ""),
    ("storage.ram", "`1GiB`", "`1MiB` to `16TiB`"),
    ("storage.shrink_percent", "`90`", "`10` to `99`"),
    ("storage.acknowledge", "`disk`", "`disk`, `fsync`"),
    ("workers", "number of cores minus one, at least 1", "`0` to `64`"),
    ("limits.hold", "`8s`", "`0s` to `2m`"),
    ("log.requests", "`true`", "`true`, `false`"),
    ("events[].id", "required", "1 to 64 letters, digits, `_`, `-`, single `.`"),
    ("events[].epoch", "`1970-01-01T00:00:00Z`", "from `1970-01-01T00:00:00Z`"),
    ("events[].segment_duration", "required", "`100ms` to `1m`"),
    ("events[].start", "none", "from `1970-01-01T00:00:00Z`"),
    ("events[].hold_ahead", "`segment_duration` + 1s", "`0s` to `2m`"),
    ("events[].selection.score", "`ignore`", "`ignore`, `rank`"),
    ("events[].renditions[].kind", "required", "`video`, `audio`, `muxed`, `text`"),
    ("events[].renditions[].init", "the event's `init`", "`$RepresentationID$`"),
]


@pytest.mark.parametrize(("key", "default", "bounds"), CELLS)
def test_default_and_bounds_are_written_as_the_file_spells_them(key: str, default: str, bounds: str) -> None:
    assert default_text(FIELDS[key]) == default
    assert bounds_text(FIELDS[key]) == bounds


def test_bounds_and_choices_are_empty_for_free_text() -> None:
    assert choices(FIELDS["storage.path"]) == ()
    assert limit(FIELDS["storage.path"], "ge") is None


def test_table_has_a_row_for_every_setting() -> None:
    head, rule, *rows = settings_table().splitlines()
    assert head == "| setting | default | bounds | meaning |"
    assert rule == "|---|---|---|---|"
    assert [row.split("`")[1] for row in rows] == list(FIELDS)
    assert rows[9] == (
        "| `storage.acknowledge` | `disk` | `disk`, `fsync` | What a 2xx to a PUT promises to survive: `disk` the"
        " process being killed, `fsync` a power cut. |"
    )


def test_bar_in_a_cell_does_not_end_it() -> None:
    assert all(row.replace("\\|", "").count("|") == 5 for row in settings_table().splitlines())
