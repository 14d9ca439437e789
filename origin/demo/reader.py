"""A reader as a CDN cache is one: asks for every segment once, the moment it can be there, and checks what it gets.

It computes names and times itself (`media`) and knows of the origin only its address.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp

from origin.demo import media
from origin.demo.media import TRACKS, Track
from origin.demo.reports import Delivered, Missed, Requested, Tell
from origin.demo.stop import Stop

# Longer than the origin holds a request (8 s): it is the origin that answers, not the reader that leaves.
ANSWER_TIMEOUT_S: Final = 12
# When to ask again where an answer does not say, or there was none.
RETRY_S: Final = 1.0
# The origin gives a segment up at the retry deadline; a reader that waits longer than that has a deaf origin.
PATIENCE_MS: Final = media.RETRY_DEADLINE_MS + 2_000
GONE: Final = 410

_MAX_AGE = re.compile(r"max-age=([0-9]{1,6})")
_AVAILABLE_AT = re.compile(r"(?:^|,)at=([0-9]{1,15})")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `status` is 0 where nothing did."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Reader:
    """Reads all renditions of the demo's event.

    Args:
        deliver_url: Where the origin delivers, as `http://host:port`.
        tell: Told of every request and of how it ended.
    """

    def __init__(self, deliver_url: str, tell: Tell) -> None:
        self._base_url = f"{deliver_url}/{media.EVENT_ID}/"
        self._tell = tell
        timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        self._requests: set[asyncio.Task[None]] = set()

    async def read_until(self, stop: Stop, first_number: int) -> int:
        """Ask for everything from `first_number` on; returns the newest number whose media had ended at the stop.

        All numbers up to that one have been asked for; `drain` waits for their answers.
        """
        for track in TRACKS:
            self._ask(track, None)
        number = first_number
        while not await stop.comes_before(media.end_ms(number)):
            self._ask_all(number)
            number += 1
        last_number = max(media.newest_ended(stop.at_ms), number - 1)
        for missed_by_a_hair in range(number, last_number + 1):
            self._ask_all(missed_by_a_hair)
        return last_number

    async def drain(self) -> None:
        """Wait until everything asked for is answered or given up."""
        if self._requests:
            await asyncio.wait(self._requests)

    async def close(self) -> None:
        """Leave; what is not answered stays so."""
        for request in self._requests:
            request.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)
        await self._session.close()

    def _ask_all(self, number: int) -> None:
        for track in TRACKS:
            self._ask(track, number)

    def _ask(self, track: Track, number: int | None) -> None:
        self._tell(Requested(track.rendition_id, number))
        request = asyncio.create_task(self._read(track, number))
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)

    async def _read(self, track: Track, number: int | None) -> None:
        """Ask until it is there, or gone."""
        name = track.init_name if number is None else track.media_name(number)
        asked_ms = _now_ms()
        patience_ends_ms = PATIENCE_MS + (asked_ms if number is None else media.due_ms(number))
        while True:
            answer = await self._get(name)
            now_ms = _now_ms()
            if answer.status == 200:
                return self._tell(_delivered(track, number, answer, asked_ms, now_ms))
            if answer.status == GONE or now_ms >= patience_ends_ms:
                return self._tell(Missed(track.rendition_id, number, answer.status, now_ms - asked_ms))
            # As a cache would: the answer stands for as long as it says.
            await asyncio.sleep(retry_s(answer.headers))

    async def _get(self, name: str) -> Answer:
        try:
            async with self._session.get(self._base_url + name) as response:
                return Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, TimeoutError):
            return Answer(0, {}, b"")


def retry_s(headers: Mapping[str, str]) -> float:
    """Return when to ask again, in seconds, at least a tenth.

    >>> retry_s({"Cache-Control": "public, max-age=3"}), retry_s({})
    (3.0, 1.0)
    """
    match = _MAX_AGE.search(headers.get("Cache-Control", ""))
    return max(float(match[1]), 0.1) if match else RETRY_S


def digest_of(body: bytes) -> str:
    """Return what a strong ETag of the origin holds: the first 128 bits of the SHA-256, in hex."""
    return hashlib.sha256(body).hexdigest()[:32]


def is_intact(answer: Answer) -> bool:
    """Tell whether the body is the one its ETag speaks of."""
    return answer.headers.get("ETag") == f'"{digest_of(answer.body)}"'


def available_at_ms(headers: Mapping[str, str]) -> int:
    """Return since when the object is there, by its CMSD-Static header (CTA-5006); 0 if that does not say.

    >>> available_at_ms({"CMSD-Static": "ot=v,st=l,at=1795375086720,br=600"})
    1795375086720
    """
    match = _AVAILABLE_AT.search(headers.get("CMSD-Static", ""))
    return int(match[1]) if match else 0


def _delivered(track: Track, number: int | None, answer: Answer, asked_ms: int, now_ms: int) -> Delivered:
    return Delivered(
        pipeline=answer.headers.get("Live-Origin-Pipeline", ""),
        rendition=track.rendition_id,
        number=number,
        status=answer.status,
        bytes=len(answer.body),
        wait_ms=now_ms - asked_ms,
        held=available_at_ms(answer.headers) > asked_ms,
        intact=is_intact(answer),
        digest=digest_of(answer.body),
        late_ms=None if number is None else now_ms - media.due_ms(number),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
