"""An hour of an event in seconds: what has aged out is removed from disk and journal; and the judge of it can tell."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.faults.soak import MINUTE_MS, PIPELINES, RENDITIONS, Plan, Sample, Soak, compare, table

# Long segments make time pass with few uploads. A bucket of 32 segments is five minutes and twenty seconds.
PLAN: Final = Plan(
    event_ms=48 * MINUTE_MS,
    speed=240,
    segment_ms=10_000,
    dvr_window_ms=4 * MINUTE_MS,
    retention_ms=MINUTE_MS,
)
BUCKET: Final = 32
# Segments that may be there beyond window and retention: of a bucket only the last one has aged out last, and the
# clock runs on for as long as it takes the origin to look (a second, which is four minutes here), on a busy machine
# several times as long.
SLACK: Final = 2 * BUCKET + 60
# One manifest of each rendition and pipeline, and the journal's own files.
OTHER_FILES: Final = 24
# The journal is dropped by the file, some five minutes each, and a median of a third is one of few files.
GROWTH_MAX: Final = 0.4


def test_what_has_aged_out_is_removed_and_nothing_is_missed(tmp_path: Path) -> None:
    soak = Soak(PLAN, tmp_path)
    asyncio.run(soak.run())
    shown = "\n".join(table(soak))
    assert soak.wrong == [], shown
    assert soak.counts["answers"] > 10 * soak.counts["too late"], shown
    third = len(soak.samples) // 3
    segments = (PLAN.dvr_window_ms + PLAN.retention_ms) // PLAN.segment_ms + SLACK
    files_max = segments * len(RENDITIONS) * len(PIPELINES) + OTHER_FILES
    assert files_max < PLAN.segments_count * len(RENDITIONS) * len(PIPELINES)
    assert max(sample.files for sample in soak.samples) <= files_max, shown
    figures = {comparison.name: comparison for comparison in compare(soak.samples, GROWTH_MAX)}
    for name in ("files", "descriptors", "journal_kib"):
        assert not figures[name].has_grown, f"{name}\n{shown}"
    assert third > 0


# -- The judge itself

FLAT: Final = [Sample(minute, 50_000, 400, 20, 900, minute * 10) for minute in range(90)]


def test_what_stays_as_it_is_counts_as_flat() -> None:
    assert not any(comparison.has_grown for comparison in compare(FLAT))


def test_what_grows_only_until_the_window_is_full_counts_as_flat() -> None:
    filling = [replace(sample, files=min(index, 30) * 20) for index, sample in enumerate(FLAT)]
    assert not any(comparison.has_grown for comparison in compare(filling))


@pytest.mark.parametrize("name", ["rss_kib", "files", "descriptors", "journal_kib"])
def test_what_grows_all_the_time_is_found(name: str) -> None:
    growing = [
        replace(sample, **{name: getattr(sample, name) * (100 + index) // 100}) for index, sample in enumerate(FLAT)
    ]
    if name == "descriptors":
        growing = [replace(sample, descriptors=20 + index // 2) for index, sample in enumerate(FLAT)]
    assert [comparison.name for comparison in compare(growing) if comparison.has_grown] == [name]
