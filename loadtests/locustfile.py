"""CDN caches at the live edge: each asks for every segment the moment its media has ended.

    locust --headless --locustfile loadtests/locustfile.py --host http://127.0.0.1:8080 \
        --users 50 --run-time 60s --event derby --rendition v720 --segment-ms 1920

Keeps its own arithmetic and imports nothing of the origin, so that it can catch the origin being wrong. A body
is checked against its strong ETag (128 bits of SHA-256 in hex): a fast wrong answer fails. Besides the time
of each request, `LATE` reports when the last byte came after the segment's media had ended, measured from the
schedule: a stalled server cannot look fast by being asked less often.
"""

import hashlib
import time
from argparse import ArgumentParser
from typing import Any

from locust import FastHttpUser, constant, events, task

TEMPLATE_DEFAULT = "{rendition}/{number}.m4s"


@events.init_command_line_parser.add_listener
def add_arguments(parser: ArgumentParser) -> None:
    """What a cache must know of the event; its manifest would say the same."""
    group = parser.add_argument_group("Live Origin")
    group.add_argument("--event", default="demo", help="event id")
    group.add_argument("--rendition", default="v720", help="rendition id")
    group.add_argument("--segment-ms", type=int, default=1920, help="segment duration in ms")
    group.add_argument("--epoch-ms", type=int, default=0, help="when segment 0 begins, ms since 1970")
    group.add_argument("--media", default=TEMPLATE_DEFAULT, help="names, with {rendition} and {number}")


class LiveEdgeCache(FastHttpUser):
    """One cache that fills one rendition from the origin."""

    wait_time = constant(0)
    number = 0

    def on_start(self) -> None:
        """Join at the segment whose media is being made now."""
        self.number = self._number_now()

    @task
    def fill_next(self) -> None:
        """Wait until a segment's media has ended, ask for it, check what comes."""
        options = self.environment.parsed_options
        ended_ms = options.epoch_ms + (self.number + 1) * options.segment_ms
        time.sleep(max(ended_ms / 1000 - time.time(), 0))
        name = options.media.format(rendition=options.rendition, number=self.number)
        with self.client.get(f"/{options.event}/{name}", name="live edge", catch_response=True) as response:
            problem = _problem(response)
            if problem is not None:
                response.failure(problem)
        self._report_lateness(time.time() * 1000 - ended_ms, problem)
        self.number = max(self.number + 1, self._number_now() - 1)

    def _number_now(self) -> int:
        options = self.environment.parsed_options
        number: int = (time.time_ns() // 1_000_000 - options.epoch_ms) // options.segment_ms
        return number

    def _report_lateness(self, late_ms: float, problem: str | None) -> None:
        self.environment.events.request.fire(
            request_type="LATE",
            name="after media end",
            response_time=late_ms,
            response_length=0,
            exception=None if problem is None else RuntimeError(problem),
            context={},
        )


def _problem(response: Any) -> str | None:
    """Return what is wrong with an answer, or None."""
    if response.status_code != 200:
        return f"status {response.status_code}"
    digest = hashlib.sha256(response.content or b"").hexdigest()[:32]
    etag = response.headers.get("ETag")
    return None if etag == f'"{digest}"' else f"body does not match its ETag {etag}"
