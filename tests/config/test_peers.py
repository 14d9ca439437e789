"""Where peers are, in one spelling; and what cannot be the URL of one."""

from pathlib import Path
from typing import Any

import pytest

from config.peers import URL_LENGTH_MAX, PeerSettings, parse_peer_url, peer_findings
from config.problems import SettingError, key_path
from tests.config.raw import problems

URLS = [
    ("http://origin-west.example:8080", "http://origin-west.example:8080"),
    ("https://origin-west.example", "https://origin-west.example"),
    ("http://origin-west.example/", "http://origin-west.example"),
    ("http://origin-west.example:8080/live/", "http://origin-west.example:8080/live"),
    ("http://h/a.b/~c/%20d/.e/..f/...", "http://h/a.b/~c/%20d/.e/..f/..."),
    ("HTTP://H:80/Live", "http://h/Live"),
    ("https://h:443", "https://h"),
    ("http://h:443", "http://h:443"),
    ("http://h:1", "http://h:1"),
    ("http://h:65535", "http://h:65535"),
    ("http://10.0.0.7:8080", "http://10.0.0.7:8080"),
    ("http://[2001:DB8::0:7]:8080", "http://[2001:db8::7]:8080"),
    ("http://[::1]", "http://[::1]"),
]


@pytest.mark.parametrize(("text", "url"), URLS)
def test_url_of_a_peer_gets_one_spelling(text: str, url: str) -> None:
    assert parse_peer_url(text) == url
    assert parse_peer_url(url) == url


PLAIN = "write it like http://origin-west.example:8080"
PATH = "use letters, digits and ._-~, %XX for all else, and single slashes"
REFUSED: list[tuple[Any, str, str]] = [
    (8080, "8080 is not a URL", PLAIN),
    (None, "nothing is not a URL", PLAIN),
    ("origin-west.example:8080", "'origin-west.example:8080' is not a URL", PLAIN),
    ("//h", "'//h' is not a URL", PLAIN),
    ("ftp://h", "'ftp://h': caches cannot fetch from ftp", "write http:// or https://"),
    ("http://", "'http://': '' is no host and port", PLAIN),
    ("http:///live", "'http:///live': '' is no host and port", PLAIN),
    ("http://:80", "'http://:80': ':80' is no host and port", PLAIN),
    ("http://h:", "'http://h:': 'h:' is no host and port", PLAIN),
    ("http://h:x", "'http://h:x': 'h:x' is no host and port", PLAIN),
    ("http://::1", "'http://::1': '::1' is no host and port", PLAIN),
    ("http://h:0", "'http://h:0': there is no port 0", "write a port from 1 to 65535"),
    ("http://h:65536", "'http://h:65536': there is no port 65536", "write a port from 1 to 65535"),
    ("http://a b", "'http://a b': a b is not a host", PLAIN),
    ("http://a\r\nb", "'http://a\\r\\nb': a\r\nb is not a host", PLAIN),
    ("http://1.2.3", "'http://1.2.3': 1.2.3 is not a host", PLAIN),
    ("http://[::g]", "'http://[::g]': [::g] is not a host", PLAIN),
    (
        "http://user:secret@h",
        "has a user before the host, which every client would be told",
        "take it out, with its @",
    ),
    (
        "http://h/?a=b",
        "'http://h/?a=b' has a query or a fragment",
        "end it with the host, the port or the path",
    ),
    ("http://h/#a", "'http://h/#a' has a query or a fragment", "end it with the host, the port or the path"),
    ("http://h/a b", "'http://h/a b': '/a b' cannot be a path", PATH),
    ('http://h/a"b', "'http://h/a\"b': '/a\"b' cannot be a path", PATH),
    ("http://h/a\nb", "'http://h/a\\nb': '/a\\nb' cannot be a path", PATH),
    ("http://h/a\n", "'http://h/a\\n': '/a\\n' cannot be a path", PATH),
    ("http://h/%2", "'http://h/%2': '/%2' cannot be a path", PATH),
    ("http://h/a//b", "'http://h/a//b': '/a//b' cannot be a path", PATH),
    ("http://h/a/../b", "'http://h/a/../b': '/a/../b' cannot be a path", PATH),
    ("http://h/.", "'http://h/.': '/.' cannot be a path", PATH),
    ("http://h/é", "'http://h/é': '/é' cannot be a path", PATH),
]


@pytest.mark.parametrize(("value", "message", "remedy"), REFUSED)
def test_what_is_no_url_of_a_peer_is_told_with_a_remedy(value: Any, message: str, remedy: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_peer_url(value)
    assert (caught.value.message, caught.value.remedy) == (message, remedy)


def test_url_that_would_make_a_head_too_long_is_refused() -> None:
    longest = "http://h/".ljust(URL_LENGTH_MAX, "a")
    assert parse_peer_url(longest) == longest
    with pytest.raises(SettingError, match="is too long for a header; write at most 200 characters"):
        parse_peer_url(longest + "a")


def test_peer_that_is_listed_before_is_found_whatever_its_region() -> None:
    urls = ["http://a", "http://b", "HTTP://A:80/", "http://a/live", "http://b/"]
    peers = [PeerSettings(region=f"r{index}", url=url) for index, url in enumerate(urls)]
    found = list(peer_findings(peers))
    assert [tuple(map(key_path, finding.locations)) for finding in found] == [
        ("peers[2].url", "peers[0].url"),
        ("peers[4].url", "peers[1].url"),
    ]
    assert found[0].message == "http://a is peers[0], too"
    assert list(peer_findings(peers[:2])) == []


def test_everything_that_is_wrong_with_peers_is_told_at_once(tmp_path: Path) -> None:
    text = """
peers:
  - {region: r, url: "ftp://h"}
  - {url: "http://a"}
  - {region: a@b, url: "http://a/"}
  -
events:
  - {id: derby, segment_duration: 2s, renditions: [{id: v, kind: video, bandwidth: 1}], pipelines: [{id: a}]}
"""
    assert [str(problem) for problem in problems(tmp_path, text)] == [
        "line 3: peers[0].url: 'ftp://h': caches cannot fetch from ftp; write http:// or https://",
        "line 4: peers[1].region: is missing; add it, such as region: my-region",
        "line 5, line 4: peers[2].url: http://a is peers[1], too; list each peer once",
        "line 5: peers[2].region: 'a@b' has an @, which separates an event from its version in URLs; take it out",
        "line 6: peers[3]: is an empty entry; write its keys, or take the '-' out",
    ]
