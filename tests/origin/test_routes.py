"""The edge between handlers' values and sockets: what is logged, counted and sent for each request."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from origin.reply import Reply
from origin.routes import Edge

Answer = Callable[[web.BaseRequest], Awaitable[Reply]]


class Desk:
    """An edge, and what it observed."""

    def __init__(self, answer: Answer, *, log_lines: int = 1_000) -> None:
        self.observed: list[tuple[Reply, float | None]] = []
        self.edge = Edge("deliver", answer, lambda *seen: self.observed.append(seen), log_lines=log_lines)

    async def handle(self, path: str = "/derby/v720/7.m4s", method: str = "GET") -> web.Response:
        response = await self.edge.handle(make_mocked_request(method, path))
        assert isinstance(response, web.Response)
        return response


def answering(reply: Reply) -> Answer:
    async def answer(_: web.BaseRequest) -> Reply:
        return reply

    return answer


def failing(error: BaseException) -> Answer:
    async def answer(_: web.BaseRequest) -> Reply:
        raise error

    return answer


def logged(caplog: pytest.LogCaptureFixture, message: str) -> list[dict[str, Any]]:
    return [record.__dict__["fields"] for record in caplog.records if record.getMessage() == message]


@pytest.fixture(autouse=True)
def log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="origin.routes")


async def test_a_reply_becomes_a_response() -> None:
    response = await Desk(answering(Reply(206, "served-part", {"Content-Type": "video/mp4"}, b"abc"))).handle()
    assert (response.status, response.body) == (206, b"abc")
    assert response.headers["Content-Type"] == "video/mp4"
    assert response.headers["Server"] == "Live-Origin"


@pytest.mark.parametrize("close", [False, True])
async def test_a_connection_is_closed_when_the_reply_asks_for_it(close: bool) -> None:
    response = await Desk(answering(Reply(404, "unknown-name", close=close))).handle()
    assert (response.keep_alive is False) == close


async def test_what_nobody_foresaw_is_a_500_that_says_nothing_of_our_insides(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(failing(KeyError("/srv/data/secret")))
    response = await desk.handle("/derby/v720/8.m4s")
    assert response.status == 500
    assert isinstance(response.body, bytes)
    assert b"secret" not in response.body
    assert response.headers["Cache-Control"] == "public, max-age=1, stale-while-revalidate=0"
    assert [reply.outcome for reply, _ in desk.observed] == ["internal"]
    assert logged(caplog, "request failed") == [{"listener": "deliver", "method": "GET", "path": "/derby/v720/8.m4s"}]
    (record,) = [record for record in caplog.records if record.getMessage() == "request failed"]
    assert record.exc_info is not None


async def test_a_500_says_where_else_its_path_can_be_had_as_it_was_received() -> None:
    asked = []

    def backups(raw_path: str) -> dict[str, str]:
        asked.append(raw_path)
        return {"Live-Origin-Backup": "elsewhere"}

    edge = Edge("deliver", failing(KeyError()), lambda *seen: None, log_lines=0, backups=backups)
    response = await edge.handle(make_mocked_request("GET", "/derby/v720/%37.m4s"))
    assert (response.status, response.headers["Live-Origin-Backup"]) == (500, "elsewhere")
    assert asked == ["/derby/v720/%37.m4s"]


def test_who_left_before_the_answer_has_no_time_to_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(answering(Reply(200, "served")))
    desk.edge.note_gone("GET", "/derby/v720/8.m4s", 4.0)
    assert [(reply.outcome, duration_s) for reply, duration_s in desk.observed] == [("client-gone", None)]
    (line,) = logged(caplog, "request")
    assert (line["status"], line["duration_ms"]) == (499, 4000)


async def test_a_body_that_head_does_not_send_is_not_counted() -> None:
    desk = Desk(answering(Reply(404, "too-early", body=b"{}")))
    await desk.handle(method="HEAD")
    await desk.handle(method="GET")
    assert [len(reply.body) for reply, _ in desk.observed] == [0, 2]


async def test_a_cancelled_request_stays_cancelled() -> None:
    desk = Desk(failing(web.GracefulExit()))
    with pytest.raises(web.GracefulExit):
        await desk.handle()
    assert desk.observed == []


async def test_each_request_is_one_line_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(answering(Reply(200, "served", {}, b"abc", facts={"event": "derby", "number": 7, "hold_ms": 12})))
    await desk.handle()
    await desk.handle()
    first, second = logged(caplog, "request")
    assert first.pop("id") < second.pop("id")
    assert first.pop("duration_ms") >= 0
    assert first == {
        "listener": "deliver",
        "method": "GET",
        "path": "/derby/v720/7.m4s",
        "status": 200,
        "outcome": "served",
        "bytes": 3,
        "event": "derby",
        "number": 7,
        "hold_ms": 12,
    }


async def test_requests_are_counted_but_not_logged_when_that_is_not_wanted(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(answering(Reply(200, "served")), log_lines=0)
    await desk.handle()
    assert logged(caplog, "request") == []
    assert len(desk.observed) == 1
