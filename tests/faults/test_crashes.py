"""Kills under load: what was acknowledged is there, what was not is not; and the judge of it can tell."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.faults.crashes import Crashes, crash_again_and_again, summary
from tests.faults.ledger import Copy, Fate, Ledger, Target, Told

# These run without asyncio's debug mode, which makes the load five times slower.
ROUNDS: Final = 3
UPLOADS_MAX: Final = 120


def test_every_promise_is_kept_through_kills_under_load(tmp_path: Path) -> None:
    ledger = asyncio.run(crash_again_and_again(tmp_path, ROUNDS, UPLOADS_MAX, seed=2))
    counts = ledger.counts
    assert ledger.breaches == [], "\n".join(summary(ledger))
    assert counts["crashes"] == ROUNDS
    assert min(counts["uploads kept"], counts["copies checked"], counts["choices checked"]) > ROUNDS
    assert counts["uploads cut"] + counts["uploads lost"] > 0


# -- The judge itself


def truncate(copy: Copy, data: Path) -> None:
    path = file_of(copy, data)
    path.write_bytes(path.read_bytes()[:-1])


def remove(copy: Copy, data: Path) -> None:
    file_of(copy, data).unlink()


def forget(copy: Copy, data: Path) -> None:
    """Take every line that speaks of a copy out of the journal."""
    digest = copy.etag.strip('"').encode()
    for path in data.rglob("*"):
        if path.is_file() and (data / "bodies") not in path.parents and digest in (text := path.read_bytes()):
            path.write_bytes(b"".join(line for line in text.splitlines(keepends=True) if digest not in line))


def file_of(copy: Copy, data: Path) -> Path:
    (path,) = (data / "bodies").rglob(copy.file_name)
    return path


DAMAGE: Final[tuple[Callable[[Copy, Path], None], ...]] = (truncate, remove, forget)


def test_what_is_broken_behind_the_origin_s_back_is_found(tmp_path: Path) -> None:
    """Beside what is broken nothing is wrong, or the judge would blame the origin for everything."""
    asyncio.run(break_what_is_stored(tmp_path))


async def break_what_is_stored(tmp_path: Path) -> None:
    crashes = Crashes(tmp_path, seed=3)
    await crashes.round(UPLOADS_MAX)
    await crashes.judge_all()
    assert crashes.ledger.breaches == []
    # Only one pipeline has these: what another one has could be delivered in their place.
    segments = [copy for copy in crashes.ledger.chosen if copy.target.name.isdigit()]
    alone = [each for each in segments if not all(crashes.ledger.kept(each.target, other) for other in ("a", "b"))]
    broken = dict(zip(DAMAGE, alone, strict=False))
    assert len(broken) == len(DAMAGE)
    for damage, copy in broken.items():
        damage(copy, crashes.data)
    await crashes.judge_all()
    for damage, copy in broken.items():
        assert any(copy.target.name in sentence for sentence in crashes.ledger.breaches), damage
    of_segments = [sentence for sentence in crashes.ledger.breaches if "records are" not in sentence]
    assert all(any(copy.target.name in sentence for copy in broken.values()) for sentence in of_segments), of_segments


TARGET: Final = Target("v720", "7")
FIRST: Final = Copy(TARGET, "a", seed=1, size_bytes=10)
SECOND: Final = Copy(TARGET, "a", seed=2, size_bytes=20)
FLAWED: Final = Copy(TARGET, "a", seed=3, size_bytes=30, defect="short")
OTHER: Final = Copy(TARGET, "b", seed=4, size_bytes=40)


def explained(*copies: Copy, chosen: Copy | None = None, rule: str = "first-in-order") -> Mapping[str, Any]:
    candidates = [
        {
            "pipeline": copy.pipeline,
            "etag": copy.etag,
            "bytes": copy.size_bytes,
            "defects": [{"name": copy.defect}] if copy.defect else [],
        }
        for copy in copies
    ]
    choice = None if chosen is None else {"pipeline": chosen.pipeline, "etag": chosen.etag, "rule": rule}
    return {"candidates": candidates, "choice": choice}


def told(copy: Copy) -> Told:
    return Told(copy.pipeline, copy.etag)


Fates = list[tuple[Copy, Fate]]
JUDGED: Final[list[tuple[str, Fates, Copy | None, Mapping[str, Any], bool]]] = [
    ("kept", [(FIRST, Fate.KEPT)], FIRST, explained(FIRST, chosen=FIRST), True),
    ("gone", [(FIRST, Fate.KEPT)], None, explained(), False),
    ("answer-lost-and-there", [(FIRST, Fate.LOST)], None, explained(FIRST, chosen=FIRST), True),
    ("answer-lost-and-gone", [(FIRST, Fate.LOST)], None, explained(), True),
    ("cut-and-there", [(FIRST, Fate.CUT)], None, explained(FIRST, chosen=FIRST), False),
    ("replaced", [(FIRST, Fate.KEPT), (SECOND, Fate.KEPT)], None, explained(SECOND, chosen=SECOND), True),
    ("replaced-and-back", [(FIRST, Fate.KEPT), (SECOND, Fate.KEPT)], None, explained(FIRST, chosen=FIRST), False),
    ("refused-and-there", [(FIRST, Fate.KEPT), (SECOND, Fate.REFUSED)], None, explained(SECOND, chosen=SECOND), False),
    ("never-sent", [], None, explained(OTHER, chosen=OTHER), False),
    ("undecided", [(FIRST, Fate.KEPT)], None, explained(FIRST), False),
    ("choice-gone", [(FIRST, Fate.LOST)], FIRST, explained(), False),
    ("choice-moved", [(FIRST, Fate.KEPT), (OTHER, Fate.KEPT)], FIRST, explained(FIRST, OTHER, chosen=OTHER), False),
    (
        "upgraded",
        [(FLAWED, Fate.KEPT), (OTHER, Fate.KEPT)],
        FLAWED,
        explained(FLAWED, OTHER, chosen=OTHER, rule="upgrade"),
        True,
    ),
    (
        "upgraded-from-a-good-one",
        [(FIRST, Fate.KEPT), (OTHER, Fate.KEPT)],
        FIRST,
        explained(FIRST, OTHER, chosen=OTHER, rule="upgrade"),
        False,
    ),
    ("renewed", [(SECOND, Fate.KEPT)], FIRST, explained(SECOND, chosen=SECOND, rule="renewed"), False),
]


@pytest.mark.parametrize(
    ("fates", "chosen", "explanation", "is_kept"), [case[1:] for case in JUDGED], ids=[case[0] for case in JUDGED]
)
def test_the_judge_tells_what_may_be_from_what_may_not(
    fates: Fates, chosen: Copy | None, explanation: Mapping[str, Any], is_kept: bool
) -> None:
    ledger = Ledger()
    for copy, fate in fates:
        ledger.note(copy, fate)
    if chosen is not None:
        ledger.tell(TARGET, told(chosen))
    ledger.judge(TARGET, explanation)
    assert (ledger.breaches == []) is is_kept, ledger.breaches


def test_a_copy_that_was_gone_may_not_come_back() -> None:
    ledger = Ledger()
    ledger.note(FIRST, Fate.LOST)
    ledger.judge(TARGET, explained())
    assert ledger.breaches == []
    ledger.judge(TARGET, explained(FIRST, chosen=FIRST))
    assert len(ledger.breaches) == 1


def test_every_copy_has_its_file_and_every_file_its_copy() -> None:
    ledger = Ledger()
    for copy, fate in ((FLAWED, Fate.KEPT), (FIRST, Fate.KEPT), (OTHER, Fate.LOST)):
        ledger.note(copy, fate)
    assert list(ledger.leftovers({FIRST.file_name, OTHER.file_name})) == []
    assert list(ledger.leftovers({FIRST.file_name})) == []
    assert list(ledger.leftovers({OTHER.file_name})) == [f"no file: {FIRST.file_name}"]
    half = f"{FIRST.file_name}.0.tmp"
    names = {FIRST.file_name, FLAWED.file_name, half}
    assert list(ledger.leftovers(names)) == sorted(f"no record: {name}" for name in (FLAWED.file_name, half))


DELIVERED: Final = [
    ("the-choice", 200, told(FIRST), FIRST.body, True),
    ("refused", 404, told(FIRST), b"", False),
    ("other-bytes", 200, told(FIRST), FIRST.body[:-1], False),
    ("another-copy", 200, told(OTHER), OTHER.body, False),
]


@pytest.mark.parametrize(
    ("status", "said", "body", "is_kept"), [case[1:] for case in DELIVERED], ids=[case[0] for case in DELIVERED]
)
def test_the_judge_reads_what_is_delivered(status: int, said: Told, body: bytes, is_kept: bool) -> None:
    ledger = Ledger()
    ledger.tell(TARGET, told(FIRST))
    ledger.judge_delivery(TARGET, status, said, body)
    assert (ledger.breaches == []) is is_kept
