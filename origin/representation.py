"""A chosen body as HTTP shows it: its fields, and the answer that a request's conditions and ranges make of it.

The fields of a body are the same for everyone until the choice changes, so they are made once and kept for as long
as they are true (`Prepared`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from origin import conditional
from origin.kept_head import KeptHead
from origin.reply import Problem, Reply, problem
from selection import cache_policy
from selection.request_class import RequestClass
from storage.base import Body, BodyKey


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything about the answer for one body but the body.

    Args:
        address: Where the body lies.
        fields: Its header fields, without Content-Length.
        validators: What conditions are compared with.
        facts: What the log line of an answer tells.
    """

    address: BodyKey
    fields: Mapping[str, str]
    validators: conditional.Representation
    request_class: RequestClass
    facts: Mapping[str, object]
    whole: KeptHead = field(init=False)
    sending: "Sending" = field(init=False)

    def __post_init__(self) -> None:
        # Made once: most answers are the whole body.
        size_bytes = self.validators.size_bytes
        object.__setattr__(self, "whole", KeptHead(200, {**self.fields, "Content-Length": str(size_bytes)}))
        object.__setattr__(self, "sending", Sending(200, "served", self.fields, slice(None), size_bytes))


@dataclass(frozen=True, slots=True)
class Sending:
    """What is to be sent of a body once it is there."""

    status: int
    outcome: str
    fields: Mapping[str, str]
    part: slice
    size_bytes: int

    def reply(self, prepared: Prepared, body: Body) -> Reply:
        """Return the answer that carries the body, or its part."""
        if self.status == 200:
            return Reply(200, self.outcome, prepared.fields, body, prepared.facts, False, prepared.whole)
        return Reply(self.status, self.outcome, self.fields, body[self.part], prepared.facts)


def evaluate(headers: Mapping[str, str], prepared: Prepared, *, is_head: bool) -> Sending | Reply:
    """Return what is to be sent of a body, or the answer for which it is not needed.

    Args:
        headers: Those of the request that `conditional.FIELDS` names.
    """
    if not headers and not is_head:
        return prepared.sending
    selected = prepared.validators
    evaluation = conditional.evaluate(headers, selected, is_head=is_head) if headers else conditional.Whole()
    match evaluation:
        case conditional.NotModified():
            return Reply(304, "not-modified", prepared.fields, facts=prepared.facts)
        case conditional.Failed():
            return problem(Problem.PRECONDITION, "The precondition does not hold.", cache_policy.absent())
        case conditional.Unsatisfiable():
            content_range = {"Content-Range": f"bytes */{selected.size_bytes}", "Accept-Ranges": "bytes"}
            detail = f"The object has {selected.size_bytes} bytes."
            return problem(Problem.RANGE, detail, cache_policy.absent(), content_range)
        case conditional.Whole():
            sending = prepared.sending
        case conditional.Part(first, last):
            fields = {**prepared.fields, "Content-Range": f"bytes {first}-{last}/{selected.size_bytes}"}
            sending = Sending(206, "served-part", fields, slice(first, last + 1), last - first + 1)
        case _:
            assert_never(evaluation)
    if is_head:
        fields = {**sending.fields, "Content-Length": str(sending.size_bytes)}
        return Reply(sending.status, sending.outcome, fields, facts=prepared.facts)
    return sending
