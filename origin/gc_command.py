"""`live-origin gc --dry-run`: what the origin would delete now, and why. It looks only; a running origin may go on."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from config.load import load_settings
from config.model import Settings
from config.units import format_duration_ms, format_size, format_timestamp
from origin.clock import SystemClock
from origin.collector import due_buckets
from origin.disk_watch import DiskWatch
from origin.time_watch import TimeWatch
from selection.model import Event
from selection.retention import bucket_expires_ms, event_expires_ms
from storage.base import SEGMENTS_PER_BUCKET
from storage.catalog import MemoryCatalog
from storage.journal import read_journal
from storage.records import Entry

WIDTH_ELSEWHERE = 160
# What the watches would log stands in what is printed.
_UNHEARD = logging.NullHandler()


@dataclass(frozen=True, slots=True)
class Due:
    """What would go.

    Args:
        bucket: None for what is left of the event: init segments, manifests, masks.
        first_number, last_number: Of the bucket.
        expired_ms: Since when it may go.
    """

    event: str
    bucket: int | None
    first_number: int | None
    last_number: int | None
    copies: int
    bytes: int
    expired_ms: int


def add_gc_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `live-origin gc`."""
    parser.description = (
        "Explain what would be deleted now: time buckets that have left DVR window and retention, and events that are"
        " over. A running origin deletes by itself; this only looks, at its journal."
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="configuration (YAML)")
    parser.add_argument("--dry-run", action="store_true", required=True, help="delete nothing (the only way there is)")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each bucket")


def run_gc(parsed: argparse.Namespace) -> int:
    """Print what would go; returns the exit status."""
    logging.getLogger("origin").addHandler(_UNHEARD)
    settings = load_settings(parsed.config, os.environ, parsed.set)
    now_ms = SystemClock().now_ms()
    plan, time, disk = explain_collection(settings, now_ms)
    doubt = time.guard.doubt
    caveat = "" if doubt is None else f"{doubt.reason}, which packagers or an operator must confirm."
    if parsed.json:
        for due in plan:
            sys.stdout.write(json.dumps(asdict(due)) + "\n")
        if caveat:
            sys.stderr.write(f"Nothing would be deleted yet: {caveat}\n")
        return 0
    width = None if sys.stdout.isatty() else WIDTH_ELSEWHERE
    console = Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)
    if plan:
        console.print(_table(plan, now_ms))
    copies, size_bytes = sum(due.copies for due in plan), sum(due.bytes for due in plan)
    console.print(
        f"{_counted(len(plan), 'bucket', 'buckets')} with {_counted(copies, 'copy', 'copies')},"
        f" {format_size(size_bytes)}, would go."
        f" Disk level: {disk.level}; retention counts as 0 from shrink on."
    )
    if caveat:
        console.print(f"But nothing would be deleted yet: {caveat}")
    return 0


def _counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def explain_collection(settings: Settings, now_ms: int) -> tuple[list[Due], TimeWatch, DiskWatch]:
    """Return what would be collected, from the journal as it is now.

    Raises:
        StorageError: The journal cannot be read.
    """
    root = Path(settings.storage.path)
    events = {event.id: event for event in settings.to_events()}
    catalog = MemoryCatalog()
    newest: list[int] = []

    def follow(entry: Entry) -> None:
        catalog.apply(entry)
        newest[:] = [entry.moment.ms]

    read_journal(root / "journal", follow)
    time = TimeWatch(events, SystemClock())
    time.compare_with_records(newest[0] if newest else None)
    disk = DiskWatch(root, settings.storage, lambda: catalog.used_bytes, SystemClock())
    disk.look()
    plan = []
    for event_id, bucket in due_buckets(events, catalog, disk, now_ms):
        plan.append(_due(events[event_id], bucket, catalog, disk))
    return plan, time, disk


def _due(event: Event, bucket: int | None, catalog: MemoryCatalog, disk: DiskWatch) -> Due:
    retention_ms = disk.retention_ms(event)
    if bucket is None:
        expired_ms = event_expires_ms(event, retention_ms)
        assert expired_ms is not None, "only an event with an end goes as a whole"
        return Due(event.id, None, None, None, 0, 0, expired_ms)
    first = bucket * SEGMENTS_PER_BUCKET
    last = first + SEGMENTS_PER_BUCKET - 1
    use = catalog.buckets(event.id)[bucket]
    return Due(
        event.id, bucket, first, last, use.copies_count, use.size_bytes, bucket_expires_ms(event, last, retention_ms)
    )


def _table(plan: Sequence[Due], now_ms: int) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("event", "segments", "copies", "bytes", "could go since", "that is"):
        table.add_column(name, justify="right" if name in ("copies", "bytes", "that is") else "left")
    for due in plan:
        segments = "init segments, manifests" if due.bucket is None else f"{due.first_number} to {due.last_number}"
        age = format_duration_ms((now_ms - due.expired_ms) // 1000 * 1000)
        table.add_row(
            due.event, segments, str(due.copies), str(due.bytes), format_timestamp(due.expired_ms), f"{age} ago"
        )
    return table
