"""Where else an answer can be had: well-formed headers, whatever is asked for."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.peers import PEERS_COUNT_MAX, URL_LENGTH_MAX, PeerSettings
from origin.backup import HEADERS_BYTES_MAX, Backups

WEST, EU = ("us-west-2", "http://west.example:8080"), ("eu-1", "https://[2001:db8::7]/live")


def peers(*given: tuple[str, str]) -> list[PeerSettings]:
    return [PeerSettings(region=region, url=url) for region, url in given]


def read(headers: object) -> tuple[list[tuple[str, str]], list[str]]:
    """Return regions and URLs of a pair of headers as a strict reader finds them, and the targets of the links."""
    assert isinstance(headers, dict) and set(headers) == {"Live-Origin-Backup", "Link"}
    members: Any = http_sf.parse(headers["Live-Origin-Backup"].encode(), tltype="list")
    link = r'<(?P<target>[^<>" ]*)>; rel="alternate"'
    assert re.fullmatch(f"{link}(, {link.replace('?P<target>', '')})*", headers["Link"])
    return [(parameters["region"], url) for url, parameters in members], re.findall(r"<([^>]*)>", headers["Link"])


def told(raw_path: str, others: Sequence[PeerSettings]) -> list[tuple[str, str]]:
    found, targets = read(Backups(others).headers(raw_path))
    assert targets == [url for _, url in found]
    return found


def test_path_is_told_for_every_peer_with_its_region_nearest_first() -> None:
    headers = Backups(peers(WEST, EU)).headers("/derby@7/v720/1007.m4s")
    assert headers == {
        "Live-Origin-Backup": (
            '"http://west.example:8080/derby@7/v720/1007.m4s";region="us-west-2", '
            '"https://[2001:db8::7]/live/derby@7/v720/1007.m4s";region="eu-1"'
        ),
        "Link": (
            '<http://west.example:8080/derby@7/v720/1007.m4s>; rel="alternate", '
            '<https://[2001:db8::7]/live/derby@7/v720/1007.m4s>; rel="alternate"'
        ),
    }
    assert [region for region, _ in read(headers)[0]] == ["us-west-2", "eu-1"]


PATHS = [
    ("/derby/a.m4s?token=secret", "/derby/a.m4s"),
    ("/derby/a.m4s?a#b", "/derby/a.m4s"),
    ("/derby/a.m4s#b?a", "/derby/a.m4s"),
    ("/?", "/"),
    ("/a%2Fb%20c", "/a%2Fb%20c"),
    ("/a%b%2", "/a%25b%252"),
    ("/%", "/%25"),
    ("/~._-!$&'()*+,;=:@", "/~._-!$&'()*+,;=:@"),
    ('/a";region="x', "/a%22;region=%22x"),
    ("/a\\b", "/a%5Cb"),
    ("/a>; rel=next, <http://evil", "/a%3E;%20rel=next,%20%3Chttp://evil"),
    ("/a\r\nSet-Cookie: a=b", "/a%0D%0ASet-Cookie:%20a=b"),
    ("/a\n", "/a%0A"),
    ("/é", "/%C3%A9"),
    ("/\udce9\udc80", "/%E9%80"),
    ("/\x00\x7f", "/%00%7F"),
    ("//other.example/a", "//other.example/a"),
    ("http://here.example:80/derby/a.m4s?b", "/derby/a.m4s"),
    ("HTTP://here/a b", "/a%20b"),
]


@pytest.mark.parametrize(("raw_path", "path"), PATHS)
def test_request_target_is_told_as_a_path_that_ends_no_quote_and_no_line(raw_path: str, path: str) -> None:
    assert told(raw_path, peers(WEST)) == [("us-west-2", f"http://west.example:8080{path}")]


@pytest.mark.parametrize("raw_path", ["", "*", "derby/a.m4s", "here.example:443", "http://here.example", "http://h?/a"])
def test_what_is_no_path_has_no_backup(raw_path: str) -> None:
    assert Backups(peers(WEST)).headers(raw_path) == {}


def test_without_peers_there_is_nothing_to_tell() -> None:
    assert Backups([]).headers("/derby/a.m4s") == {}


def test_path_of_unusual_length_is_told_for_the_nearest_peers_and_at_last_for_none() -> None:
    all_peers = peers(*((f"r{index}", f"http://origin-{index}.example") for index in range(PEERS_COUNT_MAX)))
    backups, counts = Backups(all_peers), []
    for length in range(1, HEADERS_BYTES_MAX):
        headers = backups.headers("/".ljust(length, "a"))
        assert sum(map(len, headers.values())) <= HEADERS_BYTES_MAX
        found = read(headers)[0] if headers else []
        assert [region for region, _ in found] == [f"r{index}" for index in range(len(found))]
        counts.append(len(found))
    assert counts == sorted(counts, reverse=True)
    assert set(counts) == set(range(PEERS_COUNT_MAX + 1))


def test_header_limit_is_used_to_the_last_byte() -> None:
    (west,) = peers(WEST)
    fixed_bytes = sum(map(len, Backups([west]).headers("/").values())) - 2
    longest = (HEADERS_BYTES_MAX - fixed_bytes) // 2
    assert len(told("/".ljust(longest, "a"), [west])) == 1
    assert Backups([west]).headers("/".ljust(longest + 1, "a")) == {}
    assert len(told("/" + " " * ((longest - 1) // 3), [west])) == 1, "what counts is how it is sent"
    assert Backups([west]).headers("/" + " " * ((longest - 1) // 3 + 1)) == {}


def test_peer_with_the_longest_url_is_told_for_any_usual_path() -> None:
    url = "http://h/".ljust(URL_LENGTH_MAX, "a")
    assert told("/".ljust(256, "b"), peers(("r" * 64, url))) == [("r" * 64, url + "/".ljust(256, "b"))]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.text('/%2a?#"\\<>;, \r\n', max_size=40))
def test_any_path_makes_headers_that_a_strict_reader_takes(text: str) -> None:
    (_, url), (_, other) = told(f"/{text}", peers(WEST, EU))
    path = url.removeprefix("http://west.example:8080")
    assert other == f"https://[2001:db8::7]/live{path}"
    assert re.fullmatch(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})+", path)
    assert unquote_to_bytes(path) == unquote_to_bytes(f"/{text}".partition("?")[0].partition("#")[0])
