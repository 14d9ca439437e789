"""Which requests matter most when not all can be served: told by arithmetic on the name, never by storage.

What just became due is what every viewer is about to ask for, through every cache; a rewind is one viewer's, and
can wait. Whoever publishes is ahead of all of them: without publishing there is nothing to deliver.
"""

from enum import StrEnum

from selection.model import Event
from selection.window import due_ms


class RequestClass(StrEnum):
    """Classes of requests, highest first."""

    PUBLISH = "publish"
    LIVE_EDGE = "live-edge"
    RECENT = "recent"
    DVR = "dvr"


def request_class(event: Event, number: int | None, now_ms: int) -> RequestClass:
    """Return the class of a GET.

    Args:
        number: None for init segments and manifests, which every player that starts needs: they are of the live edge.
    """
    if number is None:
        return RequestClass.LIVE_EDGE
    age_ms = now_ms - due_ms(event, number)
    if age_ms <= event.live_edge_ms:  # below 0 for what is still to come
        return RequestClass.LIVE_EDGE
    return RequestClass.RECENT if age_ms <= event.recent_ms else RequestClass.DVR
