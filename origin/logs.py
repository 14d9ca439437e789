"""JSON logs: one object a line, constant message, data in fields.

Lines go through a bounded queue to a thread that writes them, so that a terminal or pipe that blocks never
stops a segment. When the queue is full a line is dropped and counted, and the next one says how many were.
"""

import json
import logging
import logging.handlers
import queue
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, TextIO

log = logging.getLogger(__name__)

QUEUE_LINES_MAX: Final = 10_000


def fields(**values: object) -> dict[str, Any]:
    """Return `extra` for a log call: `log.info("request", extra=fields(status=200))`."""
    return {"fields": values}


class LineBudget:
    """So many lines a second, and one that says how many more there would have been."""

    def __init__(self, lines_per_s: int) -> None:
        self._lines_per_s = lines_per_s
        self._second = 0
        self._count = 0

    def is_spent(self) -> bool:
        """Count one request; returns whether it gets no line."""
        if not self._lines_per_s:
            return True
        second = int(time.monotonic())
        if second != self._second:
            unlogged_count = self._count - self._lines_per_s
            self._second, self._count = second, 0
            if unlogged_count > 0:
                log.warning("requests not logged", extra=fields(count=unlogged_count))
        self._count += 1
        return self._count > self._lines_per_s


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message, fields."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class DroppingQueueHandler(logging.handlers.QueueHandler):
    """Hands records to the writing thread; never blocks."""

    def __init__(self, lines: "queue.Queue[logging.LogRecord]") -> None:
        super().__init__(lines)
        self.dropped_count = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Keep the record as it is: the thread formats it, in this process."""
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped_count += 1
            return
        if self.dropped_count:
            lost = logging.LogRecord(__name__, logging.WARNING, __file__, 0, "log lines dropped", None, None)
            lost.fields = {"count": self.dropped_count}
            with suppress(queue.Full):  # then the next line that fits says it
                self.queue.put_nowait(lost)
                self.dropped_count = 0


class LogWriter:
    """The logs of this process, from `start` to `stop`.

    Args:
        level: Least severe level that is written, as `logging` spells it.
    """

    def __init__(self, level: str, stream: TextIO = sys.stderr) -> None:
        self._level = level.upper()
        self._lines: queue.Queue[logging.LogRecord] = queue.Queue(QUEUE_LINES_MAX)
        self._handler = DroppingQueueHandler(self._lines)
        writer = logging.StreamHandler(stream)
        writer.setFormatter(JsonFormatter())
        self._listener = logging.handlers.QueueListener(self._lines, writer)

    def start(self) -> None:
        """Take over the root logger."""
        root = logging.getLogger()
        root.handlers = [self._handler]
        root.setLevel(self._level)
        self._listener.start()

    def stop(self) -> None:
        """Write what is queued and let go."""
        logging.getLogger().removeHandler(self._handler)
        self._lines.join()  # `stop` needs a free place to say that no more lines come
        self._listener.stop()
