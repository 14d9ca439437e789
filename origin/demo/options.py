"""The demo's options: what can be asked for, and the texts that say what would be right."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from config.problems import SettingError
from config.units import parse_duration_ms
from origin.demo.media import PIPELINE_IDS

# One segment at least; a day is long for a demo.
SECONDS_MIN: Final = 2
SECONDS_MAX: Final = 86_400
# Beyond this a segment is late by any measure: retry deadlines are a few seconds.
LATE_MS_MAX: Final = 10_000

_ONE_OF = " or ".join(PIPELINE_IDS)


class UnfitOptions(ValueError):
    """Options that are each fine and do not fit together; the text says what would."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong between one packager and the origin.

    Args:
        drop_percent: Share of its segments that vanish, 0 to 100.
        late_ms: How much later everything arrives.
        garble_percent: Share of its segments that arrive as garbage, 0 to 100.
    """

    drop_percent: int = 0
    late_ms: int = 0
    garble_percent: int = 0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What was asked for.

    Args:
        run_ms: Length of the media after which the demo stops by itself, or None to run until a signal.
        kills_ms: When each packager is killed, in ms after its media began; one that is not is not in it.
        faults: By pipeline; one without a fault is not in it.
        folder: Where configuration and data are kept, or None for a temporary folder.
        ffmpeg: The binary, or None for the one that comes with imageio-ffmpeg.
    """

    run_ms: int | None
    kills_ms: dict[str, int]
    faults: dict[str, Fault]
    as_json: bool
    folder: Path | None
    ffmpeg: Path | None

    @property
    def fault_texts(self) -> tuple[str, ...]:
        """What goes wrong on purpose, each as its option would say it.

        >>> DemoOptions(None, {"a": 20_000}, {"b": Fault(30, 800, 10)}, False, None, None).fault_texts
        ('kill a@20', 'drop b:30%', 'late b:800ms', 'garble b:10%')
        """
        kills = [f"kill {pipeline_id}@{seconds(at_ms)}" for pipeline_id, at_ms in self.kills_ms.items()]
        drops = [
            f"drop {pipeline_id}:{fault.drop_percent}%"
            for pipeline_id, fault in self.faults.items()
            if fault.drop_percent
        ]
        lates = [f"late {pipeline_id}:{fault.late_ms}ms" for pipeline_id, fault in self.faults.items() if fault.late_ms]
        garbles = [
            f"garble {pipeline_id}:{fault.garble_percent}%"
            for pipeline_id, fault in self.faults.items()
            if fault.garble_percent
        ]
        return (*kills, *drops, *lates, *garbles)


def seconds(duration_ms: int) -> str:
    """Return ms as seconds without needless zeros.

    >>> seconds(20_000), seconds(1_500)
    ('20', '1.5')
    """
    return f"{duration_ms / 1000:g}"


def parse_seconds_ms(text: str) -> int:
    """Return a number of seconds as ms. Raises ArgumentTypeError with a remedy."""
    run_ms = _seconds_ms(text)
    if run_ms is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds; write it like 20 or 7.5")
    if not SECONDS_MIN * 1000 <= run_ms <= SECONDS_MAX * 1000:
        raise argparse.ArgumentTypeError(
            f"{text!r} is out of bounds; write a number from {SECONDS_MIN} to {SECONDS_MAX}"
        )
    return run_ms


def parse_kill(text: str) -> tuple[str, int]:
    """Return `a@20` as pipeline and ms after the start. Raises ArgumentTypeError with a remedy."""
    pipeline_id, after = _split(text, "@", "a@20")
    after_ms = _seconds_ms(after)
    if after_ms is None or after_ms > SECONDS_MAX * 1000:
        raise argparse.ArgumentTypeError(
            f"{text!r}: {after!r} is not a number of seconds; write it like {pipeline_id}@20"
        )
    return pipeline_id, after_ms


def parse_share(text: str) -> tuple[str, int]:
    """Return `a:30%` as pipeline and percent. Raises ArgumentTypeError with a remedy."""
    pipeline_id, share = _split(text, ":", "a:30%")
    digits = share.removesuffix("%")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 3 and int(digits) <= 100):
        raise argparse.ArgumentTypeError(
            f"{text!r}: {share!r} is not a share; write 0% to 100%, such as {pipeline_id}:30%"
        )
    if digits == share:
        raise argparse.ArgumentTypeError(f"{text!r} has no unit; write {pipeline_id}:{share}%")
    return pipeline_id, int(digits)


def parse_late(text: str) -> tuple[str, int]:
    """Return `b:800ms` as pipeline and ms. Raises ArgumentTypeError with a remedy."""
    pipeline_id, duration = _split(text, ":", "b:800ms")
    if duration.isascii() and duration.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} has no unit; write {pipeline_id}:{duration}ms")
    try:
        late_ms = parse_duration_ms(duration)
    except SettingError as exc:
        raise argparse.ArgumentTypeError(f"{text!r}: {exc}") from exc
    if late_ms > LATE_MS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r}: later than {LATE_MS_MAX} ms is lost; write less, or --drop")
    return pipeline_id, late_ms


def fit(parsed: argparse.Namespace) -> DemoOptions:
    """Return the options as one value.

    Raises:
        UnfitOptions: One pipeline has the same fault twice, or is killed after the end.
    """
    kills_ms = _by_pipeline("--kill", parsed.kill)
    drops, lates = _by_pipeline("--drop", parsed.drop), _by_pipeline("--late", parsed.late)
    garbles = _by_pipeline("--garble", parsed.garble)
    for pipeline_id, kill_ms in kills_ms.items():
        if parsed.seconds is not None and kill_ms >= parsed.seconds:
            raise UnfitOptions(
                f"--kill {pipeline_id}@{seconds(kill_ms)} would come after the end;"
                f" make it less than --seconds {seconds(parsed.seconds)}"
            )
    faults = {
        pipeline_id: Fault(drops.get(pipeline_id, 0), lates.get(pipeline_id, 0), garbles.get(pipeline_id, 0))
        for pipeline_id in PIPELINE_IDS
    }
    faults = {pipeline_id: fault for pipeline_id, fault in faults.items() if fault != Fault()}
    return DemoOptions(parsed.seconds, kills_ms, faults, parsed.json, parsed.folder, parsed.ffmpeg)


def _by_pipeline(option: str, given: Sequence[tuple[str, int]]) -> dict[str, int]:
    values: dict[str, int] = {}
    for pipeline_id, value in given:
        if pipeline_id in values:
            raise UnfitOptions(f"{option} is there twice for pipeline {pipeline_id}; keep one of them")
        values[pipeline_id] = value
    return values


def _split(text: str, separator: str, example: str) -> tuple[str, str]:
    pipeline_id, found, value = text.partition(separator)
    if not found or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not PIPELINE{separator}VALUE; write it like {example}")
    if pipeline_id not in PIPELINE_IDS:
        raise argparse.ArgumentTypeError(
            f"{text!r}: there is no pipeline {pipeline_id!r}; write {_ONE_OF}, such as {example}"
        )
    return pipeline_id, value


def _seconds_ms(text: str) -> int | None:
    """Return seconds as ms (rounds down), or None if the text is no such number."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return int(value * 1000) if value.is_finite() and 0 <= value <= 10 * SECONDS_MAX else None
