"""What is counted, and what it comes to."""

from collections.abc import Iterable

from origin.demo.reports import Dropped, PackagerEnded, Report, Summary
from origin.demo.tally import NUMBERS_KEPT, Tally
from tests.origin.demo.samples import (
    AUDIO,
    FIRST,
    SMALL,
    VIDEO,
    A,
    B,
    delivered,
    garbled,
    inits,
    missed,
    published,
    started,
    stopping,
    whole_number,
)


def _summary(reports: Iterable[Report], failure: str | None = None) -> Summary:
    tally = Tally()
    for report in reports:
        tally.note(report)
    return tally.summary(failure)


def test_nothing_missing_is_praised_with_exit_status_0() -> None:
    summary = _summary([started(), *inits(), *whole_number(), *whole_number(FIRST + 1, B), stopping(FIRST + 1)])
    assert (summary.due, summary.delivered, summary.missing, summary.held, summary.late) == (6, 6, 0, 6, 0)
    assert summary.delivered_from == {A: 3, B: 3}
    assert summary.text == "Nothing is missing: 6 of 6 segments were delivered, 3 from a and 3 from b."
    assert summary.exit_status == 0


def test_what_a_packager_sends_beyond_the_end_counts_nowhere() -> None:
    beyond: list[Report] = [published(A, VIDEO, FIRST + 1, late_ms=-1_700), Dropped(B, VIDEO, FIRST + 1)]
    summary = _summary([started(), *inits(), *whole_number(), stopping(FIRST), *beyond])
    assert (summary.first_number, summary.last_number, summary.due) == (FIRST, FIRST, 3)
    assert summary.published == {A: 3, B: 0}
    assert summary.dropped == {A: 0, B: 0}


def test_missing_segments_are_named_and_give_exit_status_1() -> None:
    reports: list[Report] = [started(), *inits(), delivered(VIDEO), missed(SMALL), missed(AUDIO, status=0), stopping()]
    summary = _summary(reports)
    assert (summary.due, summary.delivered, summary.missing) == (3, 1, 2)
    assert summary.missing_by_rendition == {VIDEO: 0, SMALL: 1, AUDIO: 1}
    assert summary.text == f"2 of 3 segments are missing: v180 {FIRST}, a64 {FIRST}."
    assert summary.exit_status == 1


def test_many_missing_segments_are_named_in_part() -> None:
    numbers = range(FIRST, FIRST + 3)
    gone: list[Report] = [missed(each, number) for number in numbers for each in (VIDEO, SMALL, AUDIO)]
    assert "and 5 more." in _summary([started(), *inits(), *gone, stopping(FIRST + 2)]).text


def test_a_packager_that_ended_is_named_with_what_is_missing_and_only_then() -> None:
    ended = PackagerEnded(A, 11, 139, "Segmentation fault")
    assert "ended by itself" not in _summary([started(), *inits(), *whole_number(), ended, stopping()]).text
    gone: list[Report] = [missed(each) for each in (VIDEO, SMALL, AUDIO)]
    text = _summary([started(), *inits(), ended, *gone, stopping()]).text
    assert text.endswith("Packager a had ended by itself with status 139.")


def test_a_body_that_is_not_the_one_of_its_etag_is_not_delivered() -> None:
    summary = _summary(
        [started(), *inits(), delivered(VIDEO, intact=False), delivered(SMALL), delivered(AUDIO), stopping()]
    )
    assert (summary.due, summary.delivered, summary.damaged) == (3, 2, 1)
    assert summary.text == f"1 of 3 segments is damaged: v360 {FIRST}."
    assert summary.exit_status == 1


def test_garbage_that_is_not_delivered_is_told_and_fails_nothing() -> None:
    garbage: list[Report] = [garbled(A, each) for each in (VIDEO, SMALL, AUDIO)]
    beyond = garbled(A, VIDEO, FIRST + 1)
    summary = _summary([started(), *inits(), *garbage, *whole_number(FIRST, B), beyond, stopping()])
    assert (summary.garbled, summary.garbage_delivered, summary.damaged) == ({A: 3, B: 0}, 0, 0)
    assert summary.text == (
        "Nothing is missing: 3 of 3 segments were delivered, 0 from a and 3 from b."
        " Of 3 garbled copies none was delivered."
    )
    assert summary.exit_status == 0


def test_garbage_that_is_delivered_is_damage_although_its_etag_fits() -> None:
    answers: list[Report] = [delivered(VIDEO), delivered(SMALL, digest="bad"), delivered(AUDIO, digest="bad")]
    summary = _summary([started(), *inits(), garbled(A, SMALL), *answers, stopping()])
    assert (summary.delivered, summary.damaged, summary.garbage_delivered) == (2, 1, 1)
    assert summary.text == f"1 of 3 segments is damaged: v180 {FIRST}. Of 1 garbled copy 1 was delivered."
    assert summary.exit_status == 1


def test_what_was_still_waited_for_is_told() -> None:
    summary = _summary([started(), delivered(VIDEO), stopping()])
    assert (summary.due, summary.delivered, summary.unanswered) == (3, 1, 2)
    assert summary.text == "2 of 3 segments were still waited for when a second signal came."
    assert summary.exit_status == 1


def test_a_missing_init_segment_is_told() -> None:
    summary = _summary([started(), *inits()[:2], missed(AUDIO, None), *whole_number(), stopping()])
    assert summary.inits_missing == (AUDIO,)
    assert summary.text == "The init segment of a64 is missing."
    assert summary.exit_status == 1


def test_late_copies_and_late_deliveries_are_counted_apart() -> None:
    late: list[Report] = [published(B, each, late_ms=1) for each in (VIDEO, SMALL)]
    answers: list[Report] = [delivered(VIDEO, late_ms=1), delivered(SMALL, late_ms=0), delivered(AUDIO, held=False)]
    summary = _summary([started(), *inits(), *late, published(B, AUDIO, late_ms=0), *answers, stopping()])
    assert summary.published_late == {A: 0, B: 2}
    assert (summary.late, summary.held) == (1, 2)


def test_a_stop_before_the_first_segment_is_no_failure() -> None:
    cases: list[list[Report]] = [[], [started()], [started(), stopping(FIRST - 1)]]
    for reports in cases:
        summary = _summary(reports)
        assert (summary.due, summary.exit_status) == (0, 0)
        assert summary.text == "Stopped before the first segment had ended: nothing was due."


def test_a_failure_is_what_it_comes_to() -> None:
    summary = _summary([started(), *inits(), *whole_number(), stopping()], failure="It broke.")
    assert (summary.text, summary.exit_status) == ("It broke.", 1)


def test_a_run_of_days_counts_everything_and_keeps_little() -> None:
    tally = Tally()
    for report in (started(), *inits()):
        tally.note(report)
    for number in range(FIRST, FIRST + 1_000):
        tally.note(garbled(B, VIDEO, number))
        for report in whole_number(number):
            tally.note(report)
    for each in (VIDEO, SMALL, AUDIO):
        tally.note(missed(each, FIRST + 1_000))
    tally.note(stopping(FIRST + 1_000))
    tally.note(published(A, VIDEO, FIRST + 1_001))
    summary = tally.summary(None)
    assert (summary.due, summary.delivered, summary.missing, summary.unanswered) == (3_003, 3_000, 3, 0)
    assert summary.published == {A: 3_000, B: 0}
    assert summary.garbled == {A: 0, B: 1_000}
    assert len(tally._recent) == NUMBERS_KEPT
    assert not tally._folded.garbage
