"""What users have in common: a connection, and answers that are judged."""

from collections.abc import Callable
from typing import Any, ClassVar

from locust import FastHttpUser, constant

from loadtests.judge import Count
from loadtests.ledger import Answer, OtherCopyError, Segment, WrongBodyError
from loadtests.load import Load, now_ms, report

# Returns what is wrong with an answer, or None.
Judgement = Callable[[Answer], str | None]

_PLAIN = {"Accept-Encoding": "identity"}


class LoadUser(FastHttpUser):
    """One user. `load` is set before the first one is made."""

    abstract = True
    wait_time = constant(0)
    connection_timeout = 10.0
    network_timeout = 20.0
    load: ClassVar[Load]

    def ask(self, method: str, url: str, row: str, judged: Judgement, **more: Any) -> tuple[Answer, float]:
        """Send a request and have its answer judged; returns it, and when its last byte had come.

        Args:
            more: `headers`, and `data` for a body.
        """
        headers = {**_PLAIN, **more.pop("headers", {})}
        with self.client.request(
            method, url, name=row, catch_response=True, allow_redirects=False, headers=headers, **more
        ) as response:
            answered_ms = now_ms()
            answer = Answer(
                response.status_code or 0,
                response.content or b"",
                {name.lower(): str(value) for name, value in (response.headers or {}).items()},
                str(getattr(response, "error", None) or ""),
            )
            problem = judged(answer)
            if problem is None:
                response.success()
            else:
                response.failure(problem)
        return answer, answered_ms

    def url_of(self, segment: Segment) -> str:
        """Return where a segment is delivered."""
        return f"{self.load.options.host}/{self.load.options.event}/{self.name_of(segment)}"

    def name_of(self, segment: Segment) -> str:
        """Return a segment's name below its event."""
        rendition, number = segment
        template: str = self.load.options.init if number is None else self.load.options.media
        return template.format(rendition=rendition, number=number)

    def body_problem(self, segment: Segment, answer: Answer) -> str | None:
        """Return what is wrong with a whole body, and count it."""
        try:
            self.load.ledger.check(segment, answer)
        except WrongBodyError as exc:
            self.load.count(Count.WRONG_BODIES)
            return str(exc)
        except OtherCopyError as exc:
            self.load.count(Count.OTHER_COPIES)
            return str(exc)
        return None

    def report(self, name: str, late_ms: float, problem: str | None = None) -> None:
        """Report a lateness."""
        report(self.environment, "LATE", name, late_ms, problem)


def status_problem(answer: Answer, *wanted: int) -> str | None:
    """Return what is wrong with a status, or None."""
    return None if answer.status in wanted else answer.error or f"status {answer.status}"
