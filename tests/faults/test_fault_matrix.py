"""The fault matrix: what is delivered of a segment, and what is told of it, for every fault of one pipeline or both.

Real segments of ffmpeg, damaged by `tests.support.faults`; `tests.faults.matrix` tells what is checked in each cell.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from tests.faults.matrix import (
    AFTER_GRACE_MS,
    FIRST_MS,
    GRACE_MS,
    NOTHING,
    SECOND_MS,
    Arrival,
    Copy,
    Outcome,
    Recorded,
    open_cell,
    record_all,
)
from tests.support import faults
from tests.support.media import count_frames, decode

LATE_MS: Final = 3_000
AFTER_GIVING_UP_MS: Final = 11_000
PREFER_WAIT_MS: Final = 100


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """What ffmpeg makes of the programme."""
    return record_all(tmp_path_factory.mktemp)


@dataclass(frozen=True)
class Row:
    """One fault of pipeline a, and what comes of it by what pipeline b does.

    Args:
        copy: None: it never comes.
        found: The defects of the copy.
        b_good: b's copy is good. It comes shortly after a's, unless that is late.
        b_absent: b sends nothing.
        b_same: b has the same fault. Its copy comes shortly after a's.
        b_good_after_grace: b's copy is good, but comes when the least flawed one has been taken.
        found_of_b: The defects of b's copy with the same fault, if not the same.
    """

    copy: Copy | None
    found: str
    b_good: Outcome
    b_absent: Outcome
    b_same: Outcome
    b_good_after_grace: Outcome
    at_ms: int = FIRST_MS
    found_of_b: str | None = None


A_AT_GRACE: Final = Outcome("a;rule=grace-over, b;lost=absent", GRACE_MS)
B_WITHOUT_A: Final = Outcome("b;rule=prefer-wait-over, a;lost=absent", SECOND_MS + PREFER_WAIT_MS)
B_WITHOUT_A_AFTER_GRACE: Final = Outcome("b;rule=prefer-wait-over, a;lost=absent", AFTER_GRACE_MS + PREFER_WAIT_MS)


def absent() -> Row:
    return Row(None, "", B_WITHOUT_A, NOTHING, NOTHING, B_WITHOUT_A_AFTER_GRACE)


def late(at_ms: int) -> Row:
    """Return a row where nothing is wrong but the time."""
    alone = Outcome("a;rule=first-in-order, b;lost=absent", at_ms)
    return Row(Copy(), "", B_WITHOUT_A, alone, alone, B_WITHOUT_A_AFTER_GRACE, at_ms)


def flawed(copy: Copy, found: str) -> Row:
    """Return a row of copies that are delivered if there is nothing better by due + grace."""
    return Row(
        copy,
        found,
        b_good=Outcome("b;rule=first-in-order, a;lost=defects", SECOND_MS),
        b_absent=A_AT_GRACE,
        b_same=Outcome("a;rule=first-in-order, b;lost=order", SECOND_MS),
        b_good_after_grace=Outcome("b;rule=upgrade, a;lost=defects", AFTER_GRACE_MS, before=A_AT_GRACE),
    )


def corrupt(copy: Copy, found: str) -> Row:
    """Return a row of copies that are never delivered."""
    return Row(
        copy,
        found,
        b_good=Outcome("b;rule=first-in-order, a;lost=corrupt", SECOND_MS),
        b_absent=NOTHING,
        b_same=NOTHING,
        b_good_after_grace=Outcome("b;rule=first-in-order, a;lost=corrupt", AFTER_GRACE_MS),
    )


def wrong_init() -> Row:
    """Return a row where a makes segments for another init segment than the one that is delivered.

    When b follows, nobody makes segments for the delivered one any more: the new one is delivered, and b's segment
    fits it. That a's does, too, was not known when it came.
    """
    row = flawed(Copy(recording="resized", is_renewed=True), 'mismatched-init;differs="picture-size"')
    b_same = Outcome("b;rule=first-in-order, a;lost=defects", SECOND_MS, init="resized")
    return replace(row, b_same=b_same, found_of_b="")


ROWS: Final[dict[str, Row]] = {
    "absent": absent(),
    "late": late(LATE_MS),
    "after-giving-up": late(AFTER_GIVING_UP_MS),
    "short-by-1-frame": flawed(Copy(faults.shortened(1)), "short;missing_ms=40;missing_frames=1"),
    "short-by-half": flawed(Copy(faults.shortened(24)), "short;missing_ms=960;missing_frames=24"),
    "shifted-tfdt": flawed(Copy(faults.moved(24)), "wrong-time;offset_ms=960, discontinuity;gap_ms=960"),
    "shifted-tfdt-back": flawed(Copy(faults.moved(-24)), "wrong-time;offset_ms=-960, discontinuity;gap_ms=-960"),
    "gap-before": flawed(Copy(faults.moved(1)), "discontinuity;gap_ms=40"),
    "gap-within": flawed(Copy(faults.with_hole), "discontinuity;holes=1"),
    "no-keyframe": flawed(Copy(faults.without_keyframe), "no-keyframe"),
    "cut-tail": corrupt(Copy(faults.cut_tail), 'corrupt;reason="truncated";offset=381'),
    "flipped-box-size": corrupt(Copy(faults.flipped_size), 'corrupt;reason="bad-size";offset=109'),
    "zeroed-moof": corrupt(Copy(faults.zeroed_moof), 'corrupt;reason="bad-size";offset=85'),
    "zeros-within-moof": corrupt(Copy(faults.zeroed_in_moof), 'corrupt;reason="bad-size";offset=165'),
    "wrong-init": wrong_init(),
    "slate": flawed(Copy(faults.filler), "slate"),
    "garbage": corrupt(Copy(faults.noise), 'corrupt;reason="not-media";offset=0'),
    "wrong-rendition": flawed(
        Copy(recording="sound"), "wrong-time;offset_ms=4937288996560, discontinuity;excess_ms=5280"
    ),
    "declared-by-header": flawed(Copy(declared="short;missing_ms=120"), "short;missing_ms=120"),
    "declared-otherwise": flawed(
        Copy(faults.shortened(1), declared="short;missing_ms=120"), "short;missing_ms=40;missing_frames=1"
    ),
}
COLUMNS: Final = ("b-good", "b-absent", "b-same", "b-good-after-grace")
GOOD: Final = Copy()
# Rows in which a's copy comes in time and has a fault, and those in which that fault is the same whoever has it.
IN_TIME: Final = [name for name, row in ROWS.items() if row.found]
ALIKE: Final = [name for name in IN_TIME if ROWS[name].found_of_b is None]


def of(pipeline: str, row: Row, at_ms: int) -> Arrival:
    assert row.copy is not None
    return Arrival(at_ms, pipeline, row.copy, row.found)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("name", ROWS)
async def test_the_best_copy_is_delivered_and_everybody_is_told_why(
    name: str, column: str, recorded: Recorded, tmp_path: Path
) -> None:
    row = ROWS[name]
    of_a = [] if row.copy is None else [of("a", row, row.at_ms)]
    found_of_b = row.found if row.found_of_b is None else row.found_of_b
    of_b, outcome = {
        "b-good": ([Arrival(SECOND_MS, "b", GOOD)], row.b_good),
        "b-absent": ([], row.b_absent),
        "b-same": ([replace(a, pipeline="b", at_ms=a.at_ms + 50, found=found_of_b) for a in of_a], row.b_same),
        "b-good-after-grace": ([Arrival(AFTER_GRACE_MS, "b", GOOD)], row.b_good_after_grace),
    }[column]
    async with open_cell(tmp_path, recorded) as cell:
        await cell.play([*of_a, *of_b], outcome)


@pytest.mark.parametrize("name", ALIKE)
async def test_a_good_copy_wins_also_if_it_comes_first(name: str, recorded: Recorded, tmp_path: Path) -> None:
    async with open_cell(tmp_path, recorded) as cell:
        await cell.play([Arrival(FIRST_MS, "b", GOOD), of("a", ROWS[name], SECOND_MS)], ROWS[name].b_good)


@pytest.mark.parametrize("name", ALIKE)
async def test_of_two_equal_faults_the_first_pipeline_s_wins_also_if_it_comes_second(
    name: str, recorded: Recorded, tmp_path: Path
) -> None:
    row = ROWS[name]
    async with open_cell(tmp_path, recorded) as cell:
        await cell.play([of("b", row, FIRST_MS), of("a", row, SECOND_MS)], row.b_same)


@pytest.mark.parametrize("name", IN_TIME)
async def test_a_fault_of_the_second_pipeline_changes_nothing(name: str, recorded: Recorded, tmp_path: Path) -> None:
    row = ROWS[name]
    loss = "corrupt" if row.found.startswith("corrupt") else "defects"
    outcome = Outcome(f"a;rule=first-in-order, b;lost={loss}", SECOND_MS)
    async with open_cell(tmp_path, recorded) as cell:
        await cell.play([of("b", row, FIRST_MS), Arrival(SECOND_MS, "a", GOOD)], outcome)


@pytest.mark.parametrize("name", IN_TIME)
async def test_a_pipeline_makes_good_by_sending_it_again(name: str, recorded: Recorded, tmp_path: Path) -> None:
    row = ROWS[name]
    assert row.copy is not None
    rule = "upgrade" if row.b_absent.choice else "first-in-order"
    before = row.b_absent if row.b_absent.choice else None
    outcome = Outcome(f"a;rule={rule}, b;lost=absent", AFTER_GRACE_MS, before)
    again = Arrival(AFTER_GRACE_MS, "a", Copy(is_renewed=row.copy.is_renewed), is_second=True)
    async with open_cell(tmp_path, recorded) as cell:
        await cell.play([of("a", row, FIRST_MS), again], outcome)


async def test_a_flawed_copy_that_comes_late_waits_for_grace_all_the_same(recorded: Recorded, tmp_path: Path) -> None:
    async with open_cell(tmp_path, recorded) as cell:
        await cell.play([of("a", ROWS["slate"], GRACE_MS - 200)], A_AT_GRACE)


# Each hurts viewers more than the next.
WORST_FIRST: Final = (
    *("zeroed-moof", "wrong-init", "shifted-tfdt", "slate", "no-keyframe", "gap-before"),
    *("short-by-half", "declared-by-header", "short-by-1-frame"),
)


@pytest.mark.parametrize(("worse", "better"), [*pairwise(WORST_FIRST)])
async def test_of_two_faults_the_one_that_hurts_less_is_delivered(
    worse: str, better: str, recorded: Recorded, tmp_path: Path
) -> None:
    of_a, of_b = of("a", ROWS[worse], FIRST_MS), of("b", ROWS[better], SECOND_MS)
    loss = "corrupt" if of_a.found.startswith("corrupt") else "defects"
    async with open_cell(tmp_path, recorded) as cell:
        await cell.play([of_a, of_b], Outcome(f"b;rule=first-in-order, a;lost={loss}", SECOND_MS))


# -- The instruments themselves


async def test_a_segment_taken_apart_and_put_together_is_the_same(recorded: Recorded) -> None:
    for body in (*recorded["picture"][1:], *recorded["resized"][1:]):
        assert faults.put_together(faults.taken_apart(faults.marked(body, "a"))) == faults.marked(body, "a")


DECODABLE: Final[list[tuple[str, faults.Fault, int]]] = [
    ("untouched", faults.untouched, 48),
    ("short-by-1-frame", faults.shortened(1), 47),
    ("short-by-half", faults.shortened(24), 24),
    ("shifted", faults.moved(24), 48),
    ("gap-within", faults.with_hole, 48),
    ("no-keyframe", faults.without_keyframe, 48),
    ("slate", faults.filler, 48),
]


@pytest.mark.parametrize(("fault", "frames"), [case[1:] for case in DECODABLE], ids=[case[0] for case in DECODABLE])
async def test_a_fault_of_an_encoder_leaves_media_that_decodes(
    fault: faults.Fault, frames: int, recorded: Recorded, tmp_path: Path
) -> None:
    init, *_, segment = recorded["picture"]
    whole = tmp_path / "whole.mp4"
    whole.write_bytes(init + fault(faults.marked(segment, "a")))
    assert await decode(whole) == ""
    assert await count_frames(whole) == [(frames, frames)]
