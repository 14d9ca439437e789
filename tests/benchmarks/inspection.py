"""What inspection of a body costs, and whether any damage to it is survived.

    python -m tests.benchmarks.inspection [--rounds 15]
    python -m tests.benchmarks.inspection --fuzz 20000 [--seed 0]

Each figure is a median of rounds, and every round measures all bodies in turn beside a calibration loop, which does
no more than unpack and add integers. So a machine that is busy with something else shows in the calibration, and
figures of two runs compare by their ratio to it.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from struct import unpack_from
from typing import Final

from selection.cmaf import parse_init, parse_segment
from selection.media import BOXES_COUNT_MAX, SAMPLES_COUNT_MAX, MediaError
from selection.mpegts import parse_ts
from tests.properties.media_checks import (
    check_damaged_init,
    check_damaged_segment,
    check_damaged_ts,
    record_whole,
)
from tests.support.mp4 import (
    NOT_SYNC,
    SYNC,
    Sample,
    box,
    fragment,
    init_segment,
    moof,
    prft,
    styp,
    tfdt,
    tfhd,
    traf,
    trak,
    trex,
    trun,
)
from tests.support.ts import AAC, AUDIO_PID, H264, PACKET_BYTES, VIDEO_PID, Muxer, adts, pes

# Long enough for the clock, short enough that many rounds fit between two switches of the scheduler.
ROUND_S: Final = 0.004
CALIBRATION_WORDS: Final = 192
FRAMES: Final = 48


@dataclass(frozen=True)
class Case:
    """One body and what to do with it; `limit_us` is what the project promises."""

    name: str
    size_bytes: int
    act: Callable[[], object]
    limit_us: int | None = None


def frames(count: int, bytes_in_all: int) -> list[Sample]:
    """Return video frames with all four fields in the table, the first one a key frame."""
    size = bytes_in_all // count
    return [Sample(512, size, NOT_SYNC if number else SYNC, 1_024) for number in range(count)]


def cmaf_cases() -> list[Case]:
    """Return one segment in one fragment, and in 25."""
    whole = init_segment(trak(timescale=12_800), defaults=[trex(duration=512)])
    init = parse_init(whole)
    one = styp("msdh", "msix") + fragment(frames(FRAMES, 254_000), 0)
    chunks = [prft(0, 0) + fragment(frames(2, 10_000), number * 1_024, sequence=number) for number in range(25)]
    many = styp("msdh", "msix") + b"".join(chunks)
    return [
        Case("CMAF, 1 fragment of 48 frames", len(one), lambda: parse_segment(one, init), limit_us=60),
        Case("CMAF, 25 fragments of 2 frames", len(many), lambda: parse_segment(many, init), limit_us=300),
        Case("CMAF init segment", len(whole), lambda: parse_init(whole)),
    ]


def ts_body(bytes_in_all: int) -> bytes:
    """Return 48 frames of video, with sound in seven parts."""
    muxer = Muxer().add_tables([(VIDEO_PID, H264), (AUDIO_PID, AAC)])
    for number in range(FRAMES):
        muxer.add_pes(VIDEO_PID, pes(number * 3_600 + 7_200, number * 3_600, bytes(bytes_in_all // FRAMES)))
        if number % 7 == 0:
            muxer.add_pes(AUDIO_PID, pes(number * 3_600, payload=adts(13, length=180)))
    return muxer.body


def without_every_other(body: bytes) -> bytes:
    """Return a transport stream of which much is lost, behind its tables."""
    packets = [body[at : at + PACKET_BYTES] for at in range(0, len(body), PACKET_BYTES)]
    return b"".join(packets[:2] + packets[2::2])


def ts_cases() -> list[Case]:
    """Return segments of MPEG-TS of several sizes, and one that is worse than any network."""
    bodies = {f"MPEG-TS, {mebibytes:g} MiB": ts_body(int(mebibytes * 2**20)) for mebibytes in (0.25, 1, 4)}
    bodies["MPEG-TS, 4 MiB, half of it lost"] = without_every_other(bodies["MPEG-TS, 4 MiB"])
    return [Case(name, len(body), partial(parse_ts, body, None)) for name, body in bodies.items()]


def refused(act: Callable[[], object]) -> None:
    """Act, and be refused."""
    with suppress(MediaError):
        act()


def worst_cases() -> list[Case]:
    """Return what a hostile packager could send at most."""
    empty = moof(traf(tfhd(), tfdt(0, version=0), trun([])))
    bodies = {
        "worst: tiny boxes": styp("msdh") + box("free") * (BOXES_COUNT_MAX + 1),
        "worst: tiny fragments": empty * (BOXES_COUNT_MAX // 6 + 1),
        "worst: samples": fragment([Sample(1, 0, SYNC, 0)] * SAMPLES_COUNT_MAX),
    }
    return [
        Case(name, len(body), partial(refused, partial(parse_segment, body, None))) for name, body in bodies.items()
    ]


def calibrate() -> int:
    """Do a fixed amount of the same kind of work."""
    body = bytes(4 * CALIBRATION_WORDS)
    total = 0
    for _ in range(20):
        total += sum(unpack_from(f">{CALIBRATION_WORDS}I", body, 0)[::4])
    return total


def microseconds(act: Callable[[], object]) -> float:
    """Return how long one call takes, by as many as fill a round."""
    calls, spent_s = 0, 0.0
    begin_s = time.perf_counter()
    while spent_s < ROUND_S:
        act()
        calls += 1
        spent_s = time.perf_counter() - begin_s
    return spent_s / calls * 1e6


def measure(rounds: int) -> None:
    cases = [*cmaf_cases(), *ts_cases(), *worst_cases()]
    calibration = Case("calibration", 0, calibrate)
    taken: dict[str, list[float]] = {case.name: [] for case in [calibration, *cases]}
    for _ in range(rounds):
        for case in [calibration, *cases]:
            taken[case.name].append(microseconds(case.act))
    base_us = statistics.median(taken[calibration.name])
    print(f"inspection, {os.cpu_count()} cores, Python {platform.python_version()}, medians of {rounds} rounds")
    print("| body | bytes | us | least us | times calibration | promised us |\n|---|---|---|---|---|---|")
    for case in [calibration, *cases]:
        median_us = statistics.median(taken[case.name])
        least_us = min(taken[case.name])
        figures = f"{median_us:.1f} | {least_us:.1f} | {median_us / base_us:.2f} | {case.limit_us or ''}"
        print(f"| {case.name} | {case.size_bytes} | {figures} |")


def fuzz(count: int, seed: int) -> int:
    """Damage bodies of real packagers and inspect them; returns the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        whole = record_whole(Path(folder))
    checks = (check_damaged_segment, check_damaged_segment, check_damaged_init, check_damaged_ts)
    outcomes: Counter[str] = Counter()
    begin_s = time.perf_counter()
    for number in range(count):
        check = checks[number % len(checks)]
        try:
            error = check(Random(f"{seed}/{number}"), whole)
        except Exception:
            print(f"example {number} of seed {seed}, {check.__name__}:", file=sys.stderr)
            raise
        kind = check.__name__.removeprefix("check_damaged_")
        outcomes[f"{kind}: {'told' if error is None else error.reason}"] += 1
    print(f"{count} damaged bodies, seed {seed}, {time.perf_counter() - begin_s:.0f} s: none raised anything else")
    for outcome, times in sorted(outcomes.items()):
        print(f"  {outcome:<24} {times}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="What inspection costs.")
    parser.add_argument("--rounds", type=int, default=15, help="rounds, of which the median is shown")
    parser.add_argument("--fuzz", type=int, metavar="N", help="inspect N damaged bodies instead")
    parser.add_argument("--seed", type=int, default=0, help="other damage")
    arguments = parser.parse_args()
    if arguments.fuzz is not None:
        return fuzz(arguments.fuzz, arguments.seed)
    measure(arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
