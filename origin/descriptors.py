"""How many connections this process may open: each takes a file descriptor, and the system bounds those."""

import logging
import resource
from typing import Final

from origin.logs import fields

log = logging.getLogger(__name__)

# For bodies, the journal, pipes of threads, the admin listener, connections that are being sent away: kept apart from
# what clients may take. Where there are few, half of them.
RESERVED: Final = 1_024
# Publish and deliver: clients of one must not take what the other needs.
LISTENERS: Final = 2


def connections_limit(wanted: int) -> int:
    """Return how many connections each listener may have: as many as wanted, or what the system leaves for them.

    Raises the soft limit of this process first, as far as that is allowed (`ulimit -Hn`, `LimitNOFILE` of systemd).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted * LISTENERS + RESERVED
    allowed = _raised(soft, hard, needed)
    if allowed >= needed:
        return wanted
    limit = max((allowed - min(RESERVED, allowed // 2)) // LISTENERS, 1)
    log.info(
        "fewer connections than limits.connections, as this process may not open more files",
        extra=fields(connections=limit, wanted=wanted, files=allowed, files_needed=needed),
    )
    return limit


def _raised(soft: int, hard: int, needed: int) -> int:
    if soft == resource.RLIM_INFINITY:
        return needed
    if soft >= needed:
        return soft
    target = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    except (OSError, ValueError):  # a container that forbids it
        return soft
    return target
