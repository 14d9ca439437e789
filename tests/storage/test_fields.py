"""The JSON of records that is put together by hand is what an encoder makes of the same."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from selection.model import Candidate, Facts, Loss, Rule
from storage.fields import Fields, choice_text, copy_text, dumps
from tests.storage.strategies import candidates, losses, milliseconds


def without_none(fields: dict[str, Any]) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def fields_of(facts: Facts | None) -> Fields | None:
    if facts is None:
        return None
    return without_none({"tracks": facts.tracks, "init_digest": facts.init_digest, "generation": facts.generation})


@given(candidates)
def test_a_copy(copy: Candidate) -> None:
    fields = {
        "received_ms": copy.received_ms,
        "defects": [[defect.name, *defect.parameters] for defect in copy.defects] or None,
        "score": copy.score,
        "facts": fields_of(copy.facts),
    }
    assert copy_text(copy) == dumps(without_none(fields))


@given(st.sampled_from(Rule), milliseconds, losses)
def test_a_choice(rule: Rule, decided_ms: int, lost: tuple[tuple[str, Loss], ...]) -> None:
    fields = {"rule": rule, "decided_ms": decided_ms, "losses": lost or None}
    assert choice_text(rule, decided_ms, lost) == dumps(without_none(fields))
