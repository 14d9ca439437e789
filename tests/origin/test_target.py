"""What a path means before anything is looked up."""

import pytest

from origin.target import Programmes, event_of, split_path
from selection.names import ManifestName
from tests.support.events import make_event, make_key

PATHS = [
    ("/derby/a/v720/7.m4s", ("derby", "a/v720/7.m4s")),
    ("/derby/live.mpd", ("derby", "live.mpd")),
    ("/derby", ("derby", "")),
    ("/derby/", ("derby", "")),
    ("/", ("", "")),
    ("", ("", "")),
    ("//derby/7.m4s", ("", "derby/7.m4s")),
    ("/derby//7.m4s", ("derby", "/7.m4s")),
    ("a/v720/7.m4s", ("a", "v720/7.m4s")),
]

VERSIONS = [
    ("derby", "derby"),
    ("derby@7", "derby"),
    ("derby@2026-11-22", "derby"),
    ("derby@", "derby"),
    ("derby@7@8", "derby"),
    ("@7", ""),
    ("", ""),
]


@pytest.mark.parametrize(("path", "expected"), PATHS)
def test_a_path_is_split_at_its_first_part(path: str, expected: tuple[str, str]) -> None:
    assert split_path(path) == expected


@pytest.mark.parametrize(("part", "event_id"), VERSIONS)
def test_a_version_renews_a_caches_keys_and_means_nothing_else(part: str, event_id: str) -> None:
    assert event_of(part) == event_id


def test_programmes_are_found_by_id() -> None:
    derby, oaks = make_event("derby"), make_event("oaks")
    programmes = Programmes((oaks, derby))
    found = programmes.get("derby")
    assert found is not None
    assert found.event is derby
    assert programmes.get("ascot") is None
    assert programmes.get("") is None
    assert programmes.ids == ["derby", "oaks"]
    assert programmes.events == {"derby": derby, "oaks": oaks}


def test_a_programme_knows_the_names_of_its_event() -> None:
    programme = Programmes((make_event("derby"), make_event("oaks"))).get("oaks")
    assert programme is not None
    assert programme.names.parse("v720/7.m4s") == make_key(7, event_id="oaks")
    assert programme.names.parse("v720/init.mp4") == make_key(None, event_id="oaks")
    assert programme.names.parse("live.mpd") == ManifestName("live.mpd")
    assert programme.names.parse("v999/7.m4s") is None
