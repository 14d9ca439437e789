"""Where else an answer can be had: the same path on the peers, for caches that turn to another origin by themselves."""

import re
from collections.abc import Sequence
from typing import Final

from config.peers import PeerSettings

# Both headers together. By default nginx refuses a head of more than 4 KB, so with a path of unusual length the
# farthest peers are left out.
HEADERS_BYTES_MAX: Final = 2_048

# What RFC 3986, 3.3 does not allow in a path, a % that escapes nothing included. None of what is left ends the
# string of a structured field (RFC 9651, 3.3.3) or the target of a link (RFC 8288, 3).
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:@/%-]|%(?![0-9A-Fa-f]{2})")
# The absolute form of a request target (RFC 9112, 3.2.2).
_ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


class Backups:
    """The peers as the headers of an answer: 5xx, too, as it is then that they are needed.

    Args:
        peers: Nearest first. Their URLs are in the one spelling that the configuration gives them.
    """

    def __init__(self, peers: Sequence[PeerSettings]) -> None:
        # By how many peers are told, each header as the pieces between which the path stands.
        self._pieces = [(_backup_pieces(peers[:count]), _link_pieces(peers[:count])) for count in range(len(peers) + 1)]
        self._fixed_bytes = [len("".join(backup)) + len("".join(link)) for backup, link in self._pieces]

    def headers(self, raw_path: str) -> dict[str, str]:
        """Return `Live-Origin-Backup` and `Link` for a request target as it was received, which may hold anything.

        The query goes, as no answer depends on it; what a path may not hold is percent-encoded. Without peers, and
        for what is no path, nothing.

        Source: lists of strings with parameters, RFC 9651, 3.1; links, RFC 8288, 3.

        >>> west = PeerSettings(region="us-west-2", url="http://origin-west.example:8080")
        >>> for name, value in Backups([west]).headers("/derby@2/v720/7.m4s?x=1").items():
        ...     print(f"{name}: {value}")
        Live-Origin-Backup: "http://origin-west.example:8080/derby@2/v720/7.m4s";region="us-west-2"
        Link: <http://origin-west.example:8080/derby@2/v720/7.m4s>; rel="alternate"
        """
        count = len(self._pieces) - 1
        if count == 0:
            return {}
        path = raw_path
        if path[:1] != "/" or _UNSAFE.search(path):
            path = _cleaned(path)
            if not path:
                return {}
        while self._fixed_bytes[count] + 2 * count * len(path) > HEADERS_BYTES_MAX:
            count -= 1
        if count == 0:
            return {}
        backup, link = self._pieces[count]
        return {"Live-Origin-Backup": path.join(backup), "Link": path.join(link)}


def _cleaned(target: str) -> str:
    """Return the path of a request target with all that a path may not hold encoded; empty if it has none."""
    match = _ORIGIN.match(target)
    path = target[match.end() :] if match is not None else target
    path = path.partition("?")[0].partition("#")[0]
    return _UNSAFE.sub(_encoded, path) if path.startswith("/") else ""


def _encoded(match: re.Match[str]) -> str:
    """Return a character as the bytes that were sent, which aiohttp reads as surrogates where they are no UTF-8."""
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape"))


def _backup_pieces(peers: Sequence[PeerSettings]) -> list[str]:
    return _pieces([(f'"{peer.url}', f'";region="{peer.region}"') for peer in peers])


def _link_pieces(peers: Sequence[PeerSettings]) -> list[str]:
    return _pieces([(f"<{peer.url}", '>; rel="alternate"') for peer in peers])


def _pieces(around: Sequence[tuple[str, str]]) -> list[str]:
    """Return the texts that stand before the first path, between two, and after the last."""
    begins, ends = [begin for begin, _ in around], [end for _, end in around]
    joints = [f"{end}, {begin}" for end, begin in zip(ends, begins[1:], strict=False)]
    return [*begins[:1], *joints, *ends[-1:]]
