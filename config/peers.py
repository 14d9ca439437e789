"""The peers: other origins that have the same events, for caches to turn to."""

import re
from collections.abc import Iterator, Sequence
from ipaddress import AddressValueError
from typing import Annotated, Final

from pydantic import Field, PlainSerializer, PlainValidator

from config.fields import PORT_MAX, Identifier, checked_host
from config.problems import Finding, SettingError, key_path, shown
from config.section import Documented, Section

# Every answer names all of them, twice: eight with names of usual length take 1.3 KB of a head, and by default
# nginx refuses one of more than 4 KB.
PEERS_COUNT_MAX: Final = 8
URL_LENGTH_MAX: Final = 200

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<rest>.*)", re.DOTALL
)
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
# RFC 3986, 3.3: pchar, without the parts `.` and `..`, which a client would resolve, and without empty ones.
_BASE_PATH: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*")
_REMEDY: Final = "write it like http://origin-west.example:8080"


def parse_peer_url(value: object) -> str:
    """Return where a peer delivers, in one spelling: small letters, no default port, no slash at its end.

    Raises:
        SettingError: Not an http or https URL, or one with more than host, port and a base path.

    >>> parse_peer_url("HTTP://Origin-West.example:80/live/")
    'http://origin-west.example/live'
    """
    match = _URL.fullmatch(value) if isinstance(value, str) else None
    if match is None or not isinstance(value, str):
        raise SettingError(f"{shown(value)} is not a URL", _REMEDY)
    scheme = match["scheme"].lower()
    if scheme not in _DEFAULT_PORTS:
        raise SettingError(f"{shown(value)}: caches cannot fetch from {scheme}", "write http:// or https://")
    if len(value) > URL_LENGTH_MAX:
        raise SettingError(f"{shown(value)} is too long for a header", f"write at most {URL_LENGTH_MAX} characters")
    if match["rest"]:
        raise SettingError(f"{shown(value)} has a query or a fragment", "end it with the host, the port or the path")
    path = match["path"].rstrip("/")
    if not _BASE_PATH.fullmatch(path):
        raise SettingError(
            f"{shown(value)}: {shown(path)} cannot be a path",
            "use letters, digits and ._-~, %XX for all else, and single slashes",
        )
    return f"{scheme}://{_parse_authority(value, scheme, match['authority'])}{path}"


def _parse_authority(value: str, scheme: str, authority: str) -> str:
    if "@" in authority:
        # Not shown: what is before the @ may be a password.
        raise SettingError("has a user before the host, which every client would be told", "take it out, with its @")
    match = _AUTHORITY.fullmatch(authority)
    if match is None or not match["host"]:
        raise SettingError(f"{shown(value)}: {shown(authority)} is no host and port", _REMEDY)
    try:
        host = checked_host(match["host"]).lower()
    except AddressValueError as exc:
        raise SettingError(f"{shown(value)}: {match['host']} is not a host", _REMEDY) from exc
    port = _DEFAULT_PORTS[scheme] if match["port"] is None else int(match["port"])
    if not 1 <= port <= PORT_MAX:
        raise SettingError(f"{shown(value)}: there is no port {port}", f"write a port from 1 to {PORT_MAX}")
    host = f"[{host}]" if ":" in host else host
    return host if port == _DEFAULT_PORTS[scheme] else f"{host}:{port}"


PeerUrl = Annotated[
    str,
    PlainValidator(parse_peer_url),
    PlainSerializer(str, return_type=str, when_used="json"),
    Documented(bounds="http or https, host, port, base path"),
]


class PeerSettings(Section):
    """Another origin that has the same events."""

    region: Identifier = Field(examples=["my-region"], description="Where it stands.")
    url: PeerUrl = Field(
        examples=["http://my-peer.example:8080"],
        description="Where caches reach its deliver listener; every answer names it as `Live-Origin-Backup`.",
    )


def peer_findings(peers: Sequence[PeerSettings]) -> Iterator[Finding]:
    """Yield a finding for every peer that is listed before."""
    urls = [peer.url for peer in peers]
    for index, url in enumerate(urls):
        first = urls.index(url)
        if first < index:
            here, there = ("peers", index, "url"), ("peers", first, "url")
            yield Finding((here, there), f"{url} is {key_path(there[:-1])}, too", "list each peer once")
