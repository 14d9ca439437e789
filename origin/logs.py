"""JSON logs: one object a line, constant message, data in fields.

Lines go through a bounded queue to a thread that writes them, many at a time, so that a terminal or pipe that blocks
never stops a segment. When the queue is full a line is dropped and counted, and the next one says how many were.
"""

import json
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final, TextIO

log = logging.getLogger(__name__)

QUEUE_LINES_MAX: Final = 10_000
# How long a line waits for others that are written with it: too short for people to notice.
WRITE_AFTER_S: Final = 0.05
WRITE_LINES_MAX: Final = 500

_encode: Final = json.JSONEncoder(default=str).encode


def fields(**values: object) -> dict[str, Any]:
    """Return `extra` for a log call: `log.info("request", extra=fields(status=200))`."""
    return {"fields": values}


# Of a record that is made without being asked who logs: no line of ours tells caller, thread and process.
_NOBODY: Final = dict.fromkeys(("process", "processName", "thread", "threadName"))
_TOLD: Final = logging.makeLogRecord({"levelno": logging.INFO, "levelname": "INFO"} | _NOBODY).__dict__


def tell(logger: logging.Logger, message: str, values: dict[str, Any]) -> None:
    """Log what is logged for each request: as `logger.info(message, extra=fields(...))`, in a third of the time."""
    if logger.isEnabledFor(logging.INFO):
        record = logging.LogRecord.__new__(logging.LogRecord)
        record.__dict__.update(_TOLD, name=logger.name, msg=message, created=time.time(), fields=values)
        logger.handle(record)


class LineBudget:
    """So many lines a second, and one that says how many more there would have been."""

    def __init__(self, lines_per_s: int) -> None:
        self._lines_per_s = lines_per_s
        self._until_s = 0.0
        self._count = 0

    def is_spent(self) -> bool:
        """Count one request; returns whether it gets no line."""
        if not self._lines_per_s:
            return True
        now_s = time.monotonic()
        if now_s >= self._until_s:
            unlogged_count = self._count - self._lines_per_s
            self._until_s, self._count = float(int(now_s) + 1), 0
            if unlogged_count > 0:
                log.warning("requests not logged", extra=fields(count=unlogged_count))
        self._count += 1
        return self._count > self._lines_per_s


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message, fields."""

    def __init__(self) -> None:
        super().__init__()
        self._second = (-1, "")  # the newest one, and how it is written: many lines have the same

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": self._time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode(line)

    def _time(self, created_s: float) -> str:
        """Return a moment as ISO 8601 writes it, to the millisecond."""
        second, microseconds = divmod(round(created_s * 1_000_000), 1_000_000)
        if self._second[0] != second:
            self._second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
        return f"{self._second[1]}.{microseconds // 1_000:03d}Z"


class Lines(logging.Handler):
    """Keeps records for the writing thread; never blocks. What is urgent wakes that at once, all else within a moment.

    To wake a thread for each record takes longer than making the record: both want the interpreter's lock.

    Args:
        count_max: How many are kept.
    """

    def __init__(self, count_max: int) -> None:
        super().__init__()
        self._count_max = count_max
        self._kept: deque[logging.LogRecord] = deque()
        self._is_any, self._is_urgent = threading.Event(), threading.Event()
        self.dropped_count = 0

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._kept) >= self._count_max:
            self.dropped_count += 1
            return
        self._kept.append(record)
        if self.dropped_count and len(self._kept) < self._count_max:  # else the next line that fits says it
            lost = logging.LogRecord(__name__, logging.WARNING, __file__, 0, "log lines dropped", None, None)
            lost.fields = {"count": self.dropped_count}
            self._kept.append(lost)
            self.dropped_count = 0
        if record.levelno >= logging.WARNING:
            self._is_urgent.set()
        if not self._is_any.is_set():
            self._is_any.set()

    def wait(self) -> None:
        """Return when there is something to be written: soon after it came, or at once if that is urgent.

        What comes from here on, and `hurry` too, is seen by who looks now, or by the next call.
        """
        self._is_any.wait()
        self._is_urgent.wait(WRITE_AFTER_S)
        self._is_any.clear()
        self._is_urgent.clear()

    def hurry(self) -> None:
        """Have `wait` return, though there may be nothing."""
        self._is_urgent.set()
        self._is_any.set()

    def taken(self) -> Iterator[list[logging.LogRecord]]:
        """Yield what is kept, oldest first, some at a time."""
        while self._kept:
            yield [self._kept.popleft() for _ in range(min(len(self._kept), WRITE_LINES_MAX))]


class LogWriter:
    """The logs of this process, from `start` to `stop`. A process that is killed loses what came just before.

    Args:
        level: Least severe level that is written, as `logging` spells it.
    """

    def __init__(self, level: str, stream: TextIO = sys.stderr) -> None:
        self._level = level.upper()
        self._lines = Lines(QUEUE_LINES_MAX)
        self._stream = stream
        self._formatter = JsonFormatter()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def start(self) -> None:
        """Take over the root logger."""
        root = logging.getLogger()
        root.handlers = [self._lines]
        root.setLevel(self._level)
        self._thread.start()

    def stop(self) -> None:
        """Write what is kept and let go."""
        logging.getLogger().removeHandler(self._lines)
        self._is_stopping = True
        self._lines.hurry()
        self._thread.join()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._lines.wait()
            is_last = self._is_stopping  # before looking for the last time
            for records in self._lines.taken():
                self._write(records)

    def _write(self, records: Sequence[logging.LogRecord]) -> None:
        try:
            self._stream.write("".join(f"{self._formatter.format(record)}\n" for record in records))
            self._stream.flush()
        except Exception:  # noqa: BLE001  # there is nobody to tell but who reads tracebacks
            self._lines.handleError(records[0])
