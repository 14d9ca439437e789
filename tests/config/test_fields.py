"""The types of settings: what each takes, and what it says to the rest."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from config.fields import Address, Codecs, DirectoryPath, Identifier, Language, ListenAddress, parse_address
from config.problems import SettingError


def refusal(type_: Any, value: object) -> SettingError:
    """Return what a type says against a value."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(type_).validate_python(value)
    error = caught.value.errors()[0]["ctx"]["error"]
    assert isinstance(error, SettingError)
    return error


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8081", "127.0.0.1", 8081),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("localhost:65535", "localhost", 65_535),
        ("origin-1.example:80", "origin-1.example", 80),
        ("[::1]:8081", "::1", 8081),
        ("[::]:8081", "::", 8081),
    ],
)
def test_address_is_read_and_written_back(text: str, host: str, port: int) -> None:
    address = parse_address(text)
    assert address == Address(host, port)
    assert str(address) == text


FOR_ALL = "write 0.0.0.0:8081 for all interfaces, 127.0.0.1:8081 for this machine"
LIKE_THIS = "write host:port, such as 127.0.0.1:8081, 0.0.0.0:8081 or [::1]:8081"


@pytest.mark.parametrize(
    ("value", "message", "remedy"),
    [
        (":8081", "':8081' has no host", FOR_ALL),
        ("*:8081", "'*:8081' has no host", FOR_ALL),
        (8081, "8081 is not an address", "write 127.0.0.1:8081 for this machine only, 0.0.0.0:8081 for all interfaces"),
        ("127.0.0.1", "'127.0.0.1' is not an address", LIKE_THIS),
        ("127.0.0.1:http", "'127.0.0.1:http' is not an address", LIKE_THIS),
        ("http://127.0.0.1:8081", "'http://127.0.0.1:8081' is not an address", LIKE_THIS),
        ("::1:8081", "'::1:8081' is not an address", "write an IPv6 address in brackets, such as [::1]:8081"),
        ("127.0.0.1:65536", "'127.0.0.1:65536': there is no port 65536", "write a port from 0 (any free one) to 65535"),
        ("127.0.0.256:80", "'127.0.0.256:80': 127.0.0.256 is not a host", LIKE_THIS),
        ("[::g]:80", "'[::g]:80': [::g] is not a host", "write an IPv6 address in brackets, such as [::1]:8081"),
        ("[]:80", "'[]:80': [] is not a host", LIKE_THIS),
        ("two words:80", "'two words:80': two words is not a host", LIKE_THIS),
        (None, "nothing is not an address", LIKE_THIS),
        ({"host": "x"}, "a section of keys is not an address", LIKE_THIS),
    ],
)
def test_bad_address_is_refused_with_a_remedy(value: object, message: str, remedy: str) -> None:
    error = refusal(ListenAddress, value)
    assert (error.message, error.remedy) == (message, remedy)


@given(st.text(alphabet="0123456789.:[]*abc-", max_size=20))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except SettingError:
        return
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ("127.0.0.1:8081", "127.0.0.1:8081", True),
        ("127.0.0.1:8081", "127.0.0.1:8082", False),
        ("127.0.0.1:8081", "127.0.0.2:8081", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        ("0.0.0.0:8081", "127.0.0.1:8081", True),
        ("[::1]:8081", "[::]:8081", True),
        ("0.0.0.0:8081", "[::]:8081", False),
        ("0.0.0.0:8081", "[::1]:8081", False),
    ],
)
def test_addresses_collide_on_a_shared_port(one: str, other: str, collide: bool) -> None:
    assert parse_address(one).collides(parse_address(other)) is collide
    assert parse_address(other).collides(parse_address(one)) is collide


GOOD_TEXTS: list[tuple[Any, str]] = [
    (Identifier, "a"),
    (Identifier, "0"),
    (Identifier, "us-east_1.b"),
    (Identifier, "x" * 64),
    (Language, "en"),
    (Language, "zh-Hant-TW"),
    (Language, "no"),
    (Codecs, "avc1.64001f,mp4a.40.2"),
    (Codecs, "stpp.ttml.im1t|etd1"),
]


@pytest.mark.parametrize(("type_", "text"), GOOD_TEXTS)
def test_text_is_taken_as_it_is(type_: Any, text: str) -> None:
    assert TypeAdapter(type_).validate_python(text) == text


AN_ID = "use 1 to 64 letters, digits, '_', '-' and single '.', beginning with a letter or digit"


@pytest.mark.parametrize(
    ("type_", "value", "message", "remedy"),
    [
        (Identifier, "", "'' cannot be an id", AN_ID),
        (Identifier, "x" * 65, f"'{'x' * 56}... cannot be an id", AN_ID),
        (Identifier, "-a", "'-a' cannot be an id", AN_ID),
        (Identifier, "a..b", "'a..b' cannot be an id", AN_ID),
        (Identifier, "a/b", "'a/b' cannot be an id", AN_ID),
        (Identifier, "a\n", "'a\\n' cannot be an id", AN_ID),
        (Identifier, "a@2", "'a@2' has an @, which separates an event from its version in URLs", "take it out"),
        (
            Language,
            "english please",
            "'english please' is not a language tag",
            "write a BCP 47 tag such as en, pt-BR or zh-Hant",
        ),
        (
            Codecs,
            'a"b',
            "'a\"b' is not a codecs string",
            "write it as in the manifest: avc1.64001f, or avc1.64001f,mp4a.40.2",
        ),
        (DirectoryPath, "", "'' is not a directory", "write a path such as ./data or /var/lib/live-origin"),
        (DirectoryPath, 7, "7 is not a directory", "write a path such as ./data or /var/lib/live-origin"),
        (DirectoryPath, "a\0b", "'a\\x00b' is not a directory", "write a path such as ./data or /var/lib/live-origin"),
        (DirectoryPath, "~/data", "'~/data': a ~ is not replaced here", "write the path in full"),
    ],
)
def test_bad_text_is_refused_with_a_remedy(type_: Any, value: object, message: str, remedy: str) -> None:
    error = refusal(type_, value)
    assert (error.message, error.remedy) == (message, remedy)


@pytest.mark.parametrize("value", ["./data", Path("data")])
def test_directory_is_a_path(value: object) -> None:
    assert TypeAdapter(DirectoryPath).validate_python(value) == Path("data")
