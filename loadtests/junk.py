"""Requests that cannot succeed, and what a right refusal of each looks like."""

import re
from dataclasses import dataclass
from typing import Final

from loadtests.ledger import Answer
from loadtests.schedule import Grid

# Well beyond what an origin holds requests for.
_AHEAD_MIN: Final = 8


@dataclass(frozen=True)
class Junk:
    """One of them.

    Args:
        path: Below the base URL.
        wrong_ms: From when on the refusal is wrong, so that no cache may have it any more; None for never.
    """

    kind: str
    path: str
    status: int
    wrong_ms: int | None = None


def junk(event: str, media: str, grid: Grid, now_ms: int, luck: int) -> Junk:
    """Return an impossible request; `luck` is any number of at least 0, of which kind and place are made.

    Args:
        media: The path of a segment below its event, with `{number}`.
    """
    newest, step = grid.number_at(now_ms), luck // 5 % 5_000
    ahead = newest + _AHEAD_MIN + step
    kinds = (
        Junk("unknown event", f"/nobody-{step}/{media.format(number=newest)}", 404),
        Junk("unknown rendition", f"/{event}/none-{step}/{newest}.m4s", 404),
        Junk("unknown name", f"/{event}/{media.format(number=newest)}.php?{step}", 404),
        Junk("too far ahead", f"/{event}/{media.format(number=ahead)}", 404, grid.end_ms(ahead)),
        Junk("aged out", f"/{event}/{media.format(number=grid.first_kept(now_ms) - 3 - step)}", 410),
    )
    return kinds[luck % len(kinds)]


def problem_of(asked: Junk, answer: Answer, now_ms: int) -> str | None:
    """Return what is wrong with a refusal, or None.

    A cache collapses requests only for what it may keep, so a refusal without a life time lets a storm through; and
    one that lives longer than it is true hides a segment.
    """
    if answer.status != asked.status:
        return f"{asked.kind}: {answer.error or f'status {answer.status}'} instead of {asked.status}"
    policy = answer.header("cache-control")
    found = re.search(r"max-age=(\d+)", policy)
    if found is None or int(found[1]) == 0 or "no-store" in policy:
        return f"{asked.kind}: no life time in Cache-Control '{policy}'"
    if asked.wrong_ms is not None and now_ms + int(found[1]) * 1_000 > asked.wrong_ms:
        return f"{asked.kind}: {policy} outlives the {asked.wrong_ms - now_ms} ms for which it is true"
    return None
