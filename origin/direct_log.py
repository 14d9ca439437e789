"""Logs of a process that may have no threads: lines are written where they arise, unless that would block.

A supervisor forks, so it cannot have the thread of `origin.logs.LogWriter`. It writes few lines.
"""

import logging
import os
import select
from typing import Final

from origin.logs import JsonFormatter

# A pipe that is ready for writing takes this much at once (PIPE_BUF): a shorter line is neither torn nor waited for.
LINE_BYTES_MAX: Final = select.PIPE_BUF


class DirectHandler(logging.Handler):
    """Writes each record to a descriptor as a line of JSON; drops it if nobody reads the pipe.

    `dropped_count` is how many were.
    """

    def __init__(self, descriptor: int = 2) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.setFormatter(JsonFormatter())
        self.dropped_count = 0

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record).encode()
        if len(line) >= LINE_BYTES_MAX and record.exc_info:
            line = self._without_exception(record)
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        try:
            if any(events & select.POLLOUT for _, events in poll.poll(0)):
                os.write(self._descriptor, line + b"\n")
                return
        except OSError:  # a terminal that is gone
            pass
        self.dropped_count += 1

    def _without_exception(self, record: logging.LogRecord) -> bytes:
        """The traceback is too long for one line of a pipe: the exception itself must do."""
        short = logging.makeLogRecord(record.__dict__ | {"exc_info": None, "exc_text": None})
        cause = record.exc_info[1] if record.exc_info else None
        short.fields = getattr(record, "fields", {}) | {"exception": repr(cause)[:1000]}
        return self.format(short).encode()


def log_directly(level: str) -> None:
    """Send all logs of this process to standard error, from `level` on, without a thread."""
    root = logging.getLogger()
    root.handlers = [DirectHandler()]
    root.setLevel(level.upper())
