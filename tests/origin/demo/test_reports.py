"""The JSON form is an interface: its fields stand here by name."""

import json

from origin.demo.reports import TYPES, Dropped, Killed, PackagerEnded, Report, Requested, json_line
from origin.demo.tally import Tally
from tests.origin.demo.samples import FIRST, chosen, delivered, garbled, missed, published, started, stopping

FIELDS: list[tuple[Report, str]] = [
    (
        started(),
        """started publish deliver admin config folder log ffmpeg text_drawn first_number segment_ms renditions pids
        faults""",
    ),
    (published(), "published pipeline rendition number bytes late_ms"),
    (chosen(), "chosen pipeline rendition number rule decision_ms losses"),
    (Requested("v360", None), "requested rendition number"),
    (delivered(), "delivered pipeline rendition number status bytes wait_ms held intact digest late_ms"),
    (missed(), "missed rendition number status wait_ms"),
    (Dropped("a", "v360", FIRST), "dropped pipeline rendition number"),
    (garbled(), "garbled pipeline rendition number kind digest"),
    (Killed("a", 11), "killed pipeline pid"),
    (PackagerEnded("a", 11, 1, ""), "packager_ended pipeline pid status stderr"),
    (stopping(), "stopping reason last_number"),
    (
        Tally().summary(None),
        """summary first_number last_number due delivered damaged garbage_delivered missing unanswered delivered_from
        missing_by_rendition late held published published_late dropped garbled inits_missing text exit_status""",
    ),
]


def test_every_report_has_its_fields_after_type_and_time() -> None:
    for report, expected in FIELDS:
        line = json_line(report, at_ms=5)
        fields = json.loads(line)
        assert "\n" not in line
        assert [fields["type"], *list(fields)[2:]] == expected.split()
        assert list(fields)[:2] == ["type", "at_ms"]
        assert fields["at_ms"] == 5


def test_every_kind_of_report_is_listed() -> None:
    assert {type(report) for report, _ in FIELDS} == set(TYPES)
    assert len(set(TYPES.values())) == len(TYPES)
