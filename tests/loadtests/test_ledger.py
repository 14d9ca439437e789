"""A wrong body is found, whatever its headers say; and so is a second copy of a segment."""

import hashlib

import pytest

from loadtests.ledger import Answer, Ledger, OtherCopyError, WrongBodyError

SEGMENT = ("v720", 5)


def answer(body: bytes, pipeline: str = "a", etag: str | None = None) -> Answer:
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"' if etag is None else etag
    return Answer(200, body, {"etag": tag, "live-origin-pipeline": pipeline})


def ledger(*, knows_all: bool = True) -> Ledger:
    made = Ledger(knows_all=knows_all)
    made.sent(SEGMENT, "a", b"from a")
    made.sent(SEGMENT, "b", b"from b")
    return made


def test_the_copy_that_a_packager_sent_is_right_for_everybody() -> None:
    checked = ledger()
    checked.check(SEGMENT, answer(b"from b", "b"))
    checked.check(SEGMENT, answer(b"from b", "b"))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (answer(b"from a", etag='"0123"'), "does not match its ETag"),
        (answer(b"from a", etag=""), r"does not match its ETag \(none\)"),
        (answer(b"from A"), "not what pipeline a sent"),
        (answer(b"from b", "a"), "not what pipeline a sent"),
        (answer(b"from a", "c"), "pipeline c is named, which sent no such segment"),
        (answer(b"from a", ""), r"pipeline \(none\) is named"),
    ],
)
def test_any_other_body_is_wrong(wrong: Answer, why: str) -> None:
    with pytest.raises(WrongBodyError, match=why):
        ledger().check(SEGMENT, wrong)


def test_a_right_copy_after_another_one_is_told_apart() -> None:
    checked = ledger()
    checked.check(SEGMENT, answer(b"from a"))
    with pytest.raises(OtherCopyError):
        checked.check(SEGMENT, answer(b"from b", "b"))


def test_without_packagers_only_the_etag_can_be_judged() -> None:
    checked = Ledger(knows_all=False)
    checked.check(SEGMENT, answer(b"whatever", "x"))
    with pytest.raises(WrongBodyError):
        checked.check(("v720", 6), answer(b"whatever", etag='"0"'))


def test_a_copy_of_an_earlier_run_is_judged_by_its_etag() -> None:
    checked = ledger()
    checked.refused(SEGMENT, "a")
    checked.check(SEGMENT, answer(b"of yesterday"))


def test_what_has_aged_out_takes_no_memory() -> None:
    checked = ledger()
    checked.sent(("v720", None), "a", b"init")
    checked.refused(("v720", 4), "a")
    checked.check(SEGMENT, answer(b"from a"))
    checked.forget_before(5)
    assert len(checked) == 4
    checked.forget_before(6)
    assert len(checked) == 1
