"""The types that settings are made of: how each is read, checked and written back."""

import re
from dataclasses import dataclass
from fractions import Fraction
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, PlainValidator, Strict

from config.problems import SettingError, shown
from config.section import Documented
from config.units import (
    format_duration_ms,
    format_seconds,
    format_size,
    format_timestamp,
    parse_duration_ms,
    parse_seconds,
    parse_size_bytes,
    parse_timestamp_ms,
)

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_CODECS = re.compile(r"[A-Za-z0-9][A-Za-z0-9.,|+_-]{0,127}")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_ADDRESS = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*):(?P<port>[0-9]{1,5})")
PORT_MAX: Final = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens. Port 0 stands for any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def collides(self, other: "Address") -> bool:
        """Tell whether two servers cannot listen on both: one port, and one host or all of its family."""
        if self.port != other.port or self.port == 0:
            return False
        same_family = (":" in self.host) == (":" in other.host)
        return self.host == other.host or (same_family and not {self.host, other.host}.isdisjoint({"0.0.0.0", "::"}))


def parse_address(value: object) -> Address:
    """Return `127.0.0.1:8081`, `[::1]:8081` or `name:8081` as an address.

    Raises:
        SettingError: No host, no port, or neither an address nor a name.
    """
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if match is None or not isinstance(value, str):
        raise SettingError(f"{shown(value)} is not an address", _address_remedy(value))
    host, port = match["host"], int(match["port"])
    if host in ("", "*"):
        raise SettingError(
            f"{shown(value)} has no host", f"write 0.0.0.0:{port} for all interfaces, 127.0.0.1:{port} for this machine"
        )
    if port > PORT_MAX:
        raise SettingError(
            f"{shown(value)}: there is no port {port}", f"write a port from 0 (any free one) to {PORT_MAX}"
        )
    try:
        return Address(checked_host(host), port)
    except AddressValueError as exc:
        raise SettingError(f"{shown(value)}: {host} is not a host", _address_remedy(host)) from exc


def checked_host(host: str) -> str:
    """Return a host as it is written in general: an IPv6 address without its brackets, an IPv4 address, or a name.

    Raises:
        AddressValueError: None of them.
    """
    if host.startswith("["):
        return str(IPv6Address(host[1:-1]))
    if host.replace(".", "").isdigit():
        return str(IPv4Address(host))
    if not _HOST_NAME.fullmatch(host):
        raise AddressValueError(host)
    return host


def _address_remedy(value: object) -> str:
    text = str(value)
    if text.isdigit():
        return f"write 127.0.0.1:{text} for this machine only, 0.0.0.0:{text} for all interfaces"
    if text.count(":") > 1 and "/" not in text:
        return "write an IPv6 address in brackets, such as [::1]:8081"
    return "write host:port, such as 127.0.0.1:8081, 0.0.0.0:8081 or [::1]:8081"


def _check_identifier(value: str) -> str:
    if "@" in value:
        raise SettingError(f"{shown(value)} has an @, which separates an event from its version in URLs", "take it out")
    if ".." in value or not _IDENTIFIER.fullmatch(value):
        raise SettingError(
            f"{shown(value)} cannot be an id",
            "use 1 to 64 letters, digits, '_', '-' and single '.', beginning with a letter or digit",
        )
    return value


def _check_language(value: str) -> str:
    if not _LANGUAGE.fullmatch(value):
        raise SettingError(f"{shown(value)} is not a language tag", "write a BCP 47 tag such as en, pt-BR or zh-Hant")
    return value


def _check_codecs(value: str) -> str:
    if not _CODECS.fullmatch(value):
        raise SettingError(
            f"{shown(value)} is not a codecs string",
            "write it as in the manifest: avc1.64001f, or avc1.64001f,mp4a.40.2",
        )
    return value


def _parse_path(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise SettingError(f"{shown(value)} is not a directory", "write a path such as ./data or /var/lib/live-origin")
    if str(value).startswith("~"):
        raise SettingError(f"{shown(value)}: a ~ is not replaced here", "write the path in full")
    return Path(value)


# A trap of pydantic's: Field(ge=..., le=...) is applied before the validators of the type, so a type with
# bounds reads its text with BeforeValidator; after a PlainValidator the bounds would be lost.
DurationMs = Annotated[
    int, BeforeValidator(parse_duration_ms), PlainSerializer(format_duration_ms, return_type=str, when_used="json")
]
Seconds = Annotated[
    Fraction, BeforeValidator(parse_seconds), PlainSerializer(format_seconds, return_type=str, when_used="json")
]
SizeBytes = Annotated[
    int, BeforeValidator(parse_size_bytes), PlainSerializer(format_size, return_type=str, when_used="json")
]
TimestampMs = Annotated[
    int, BeforeValidator(parse_timestamp_ms), PlainSerializer(format_timestamp, return_type=str, when_used="json")
]
ListenAddress = Annotated[
    Address,
    PlainValidator(parse_address),
    PlainSerializer(str, return_type=str, when_used="json"),
    Documented(bounds="host:port; port 0 is any free one"),
]
DirectoryPath = Annotated[Path, PlainValidator(_parse_path), PlainSerializer(str, return_type=str, when_used="json")]
Count = Annotated[int, Strict()]
Switch = Annotated[bool, Strict()]
Identifier = Annotated[
    str, AfterValidator(_check_identifier), Documented(bounds="1 to 64 letters, digits, `_`, `-`, single `.`")
]
Language = Annotated[str, AfterValidator(_check_language), Documented(bounds="BCP 47 tag")]
Codecs = Annotated[str, AfterValidator(_check_codecs), Documented(bounds="as in a manifest (RFC 6381)")]
NameTemplate = Annotated[str, Documented(bounds="`$RepresentationID$`, `$Number$`, `$Number%05d$`, `$Time$`")]
InitTemplate = Annotated[str, Documented(bounds="`$RepresentationID$`")]
