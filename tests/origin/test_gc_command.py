"""`live-origin gc --dry-run`: what it prints of a journal, and that it changes nothing."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from origin import gc_command
from origin.__main__ import main
from storage.records import Published
from tests.origin.site import NOW_MS, NUMBER, open_site
from tests.origin.vault import BODY, open_vault
from tests.support.clock import FakeClock
from tests.support.events import candidate, make_key
from tests.support.origins import EVENT, SEGMENT_MS

ROOT = Path(__file__).parents[2]
DAY_MS = 86_400_000
SSD_BYTES = 1024**3
DVR_WINDOW_MS, RETENTION_MS = 1_800_000, 3_600_000
# What `make_vault` stores lies in bucket 0, 1 and 2. Bucket 1 expires with segment 63.
EXPIRED_MS = 64 * SEGMENT_MS + 1_000 + DVR_WINDOW_MS + RETENTION_MS
NEWEST_MS = EXPIRED_MS - RETENTION_MS  # when the last record was written


def write_config(folder: Path, **event: Any) -> Path:
    path = folder / "live-origin.yaml"
    document = {
        "storage": {"path": str(folder / "data"), "ram": "64MiB", "ssd": "1GiB"},
        "events": [EVENT | {"dvr_window": "30m", "retention": "60m"} | event],
    }
    path.write_text(yaml.safe_dump(document))
    return path


async def make_vault(folder: Path, *, last_bytes: int = len(BODY)) -> None:
    """Leave what an origin leaves that has taken copies of segments 0, 1, 40 and 70, and an init segment.

    Args:
        last_bytes: How large the last one is, as far as its record says.
    """
    (folder / "data").mkdir()
    with open_vault(folder / "data") as vault:
        for number, pipeline_id in ((0, "a"), (0, "b"), (1, "a"), (40, "a"), (None, "a")):
            await vault.store(number, pipeline_id)
        vault.clock.move_to(NEWEST_MS)
        moment = vault.journal.next_moment(NEWEST_MS)
        copy = candidate("a", NEWEST_MS, sequence=moment.sequence, size_bytes=last_bytes)
        vault.journal.append(Published(make_key(70), copy), moment)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return everything below a folder, with when it was changed."""
    return {
        str(path): (path.stat().st_mtime_ns, b"" if path.is_dir() else path.read_bytes()) for path in folder.rglob("*")
    }


class Command:
    """The command at a time that tests choose."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def run(self, config: Path, *options: str, now_ms: int = EXPIRED_MS, caveat: str = "") -> list[str]:
        """Return the lines that it prints; it ends well and says nothing else on stderr but `caveat`."""
        self._monkeypatch.setattr(gc_command, "SystemClock", lambda: FakeClock(now_ms))
        assert main(["gc", "--config", str(config), "--dry-run", *options]) == 0
        out, err = self._capsys.readouterr()
        assert err == caveat
        return out.splitlines()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


# -- What it tells


async def test_each_bucket_that_would_go_has_a_line(tmp_path: Path, command: Command) -> None:
    await make_vault(tmp_path)
    lines = command.run(write_config(tmp_path), now_ms=EXPIRED_MS + 5_500)
    assert [" ".join(line.split()) for line in lines] == [
        "event segments copies bytes could go since that is",
        "derby 0 to 31 3 51 1970-01-01T01:31:02.440Z 1m6s ago",
        "derby 32 to 63 1 17 1970-01-01T01:32:03.880Z 5s ago",
        "2 buckets with 4 copies, 68B, would go. Disk level: ample; retention counts as 0 from shrink on.",
    ]


async def test_each_bucket_is_an_object_for_programmes(tmp_path: Path, command: Command) -> None:
    await make_vault(tmp_path)
    assert [json.loads(line) for line in command.run(write_config(tmp_path), "--json")] == [
        {
            "event": "derby",
            "bucket": 0,
            "first_number": 0,
            "last_number": 31,
            "copies": 3,
            "bytes": 3 * len(BODY),
            "expired_ms": EXPIRED_MS - 32 * SEGMENT_MS,
        },
        {
            "event": "derby",
            "bucket": 1,
            "first_number": 32,
            "last_number": 63,
            "copies": 1,
            "bytes": len(BODY),
            "expired_ms": EXPIRED_MS,
        },
    ]


async def test_one_bucket_and_one_copy_are_told_as_one(tmp_path: Path, command: Command) -> None:
    (tmp_path / "data").mkdir()
    with open_vault(tmp_path / "data") as vault:
        await vault.store(40, "a")
    assert command.run(write_config(tmp_path))[-1].startswith("1 bucket with 1 copy, 17B, would go.")


async def test_where_nothing_is_due_it_says_so(tmp_path: Path, command: Command) -> None:
    await make_vault(tmp_path)
    config = write_config(tmp_path, retention="120m")
    (line,) = command.run(config)
    assert line.startswith("0 buckets with 0 copies")
    assert command.run(config, "--json") == []


async def test_an_event_that_is_over_goes_with_its_init_segments(tmp_path: Path, command: Command) -> None:
    await make_vault(tmp_path)
    config = write_config(tmp_path, start="1970-01-01T00:00:00Z", end="1970-01-01T00:03:20Z")
    plan = [json.loads(line) for line in command.run(config, "--json", now_ms=EXPIRED_MS + 600_000)]
    assert [due["bucket"] for due in plan] == [0, 1, 2, None]
    assert plan[-1] == {
        "event": "derby",
        "bucket": None,
        "first_number": None,
        "last_number": None,
        "copies": 0,
        "bytes": 0,
        # The last segment, 104, is due at 202 600 ms and given up 10 s later.
        "expired_ms": 212_600 + DVR_WINDOW_MS + RETENTION_MS,
    }
    assert "init segments, manifests" in command.run(config, now_ms=EXPIRED_MS + 600_000)[4]


@pytest.mark.parametrize(
    ("percent", "level", "buckets"), [(89, "ample", []), (91, "shrink", [0, 1]), (99, "refuse-all", [0, 1])]
)
async def test_on_a_filling_disk_what_has_left_the_window_would_go(
    tmp_path: Path, command: Command, percent: int, level: str, buckets: list[int]
) -> None:
    await make_vault(tmp_path, last_bytes=SSD_BYTES * percent // 100)
    config, now_ms = write_config(tmp_path), EXPIRED_MS - RETENTION_MS
    plan = [json.loads(line) for line in command.run(config, "--json", now_ms=now_ms)]
    assert [due["bucket"] for due in plan] == buckets
    assert f"Disk level: {level};" in command.run(config, now_ms=now_ms)[-1]
    more = command.run(config, "--set", "storage.ssd=20GiB", now_ms=now_ms)
    assert more[-1].startswith("0 buckets"), "settings can be overridden"


async def test_a_clock_in_doubt_is_told_with_the_plan(tmp_path: Path, command: Command) -> None:
    await make_vault(tmp_path)
    config, now_ms = write_config(tmp_path), NEWEST_MS + DAY_MS + 1
    doubt = f"the wall clock is {DAY_MS + 1} ms after the newest record, which packagers or an operator must confirm."
    lines = command.run(config, now_ms=now_ms)
    assert lines[-2].startswith("3 buckets with 5 copies")
    assert lines[-1] == f"But nothing would be deleted yet: {doubt}"
    lines = command.run(config, "--json", now_ms=now_ms, caveat=f"Nothing would be deleted yet: {doubt}\n")
    assert len(lines) == 3


async def test_nothing_is_said_twice_where_nobody_has_set_up_a_log(tmp_path: Path) -> None:
    await make_vault(tmp_path)
    arguments = ("-m", "origin", "gc", "--config", str(write_config(tmp_path)), "--dry-run")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert out.count(b"the newest record") == 1, "by the machine's own clock all of this is long ago"


async def test_what_left_the_configuration_is_not_in_the_plan(tmp_path: Path, command: Command) -> None:
    await make_vault(tmp_path)
    assert command.run(write_config(tmp_path, id="oaks"), "--json") == []


# -- What it leaves alone


async def test_nothing_is_changed(tmp_path: Path, command: Command) -> None:
    await make_vault(tmp_path)
    config = write_config(tmp_path)
    before = snapshot(tmp_path)
    command.run(config)
    command.run(config, "--json")
    assert snapshot(tmp_path) == before


async def test_an_origin_that_runs_is_not_disturbed(tmp_path: Path, command: Command) -> None:
    async with open_site(tmp_path) as site:
        await site.put(NUMBER, body=BODY)
        before = snapshot(tmp_path / "data")
        now_ms = NOW_MS + 100 * SEGMENT_MS + DVR_WINDOW_MS + RETENTION_MS
        lines = await asyncio.to_thread(command.run, write_config(tmp_path), "--json", now_ms=now_ms)
        assert [json.loads(line)["first_number"] for line in lines] == [NUMBER // 32 * 32]
        assert snapshot(tmp_path / "data") == before
        assert (await site.put(NUMBER + 1, body=BODY)).status == 201
        assert (await site.get(NUMBER)).body == BODY


# -- What it cannot do


def remove_journal(folder: Path) -> None:
    """Nothing was ever recorded."""


def stand_in_for_journal(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "journal").write_bytes(b"")


def make_file_unreadable(folder: Path) -> None:
    (folder / "data" / "journal" / "0000000000000001.log").mkdir(parents=True)


UNREADABLE: list[tuple[str, Callable[[Path], None], str]] = [
    ("missing", remove_journal, "journal-read: No such file or directory\n"),
    ("no-folder", stand_in_for_journal, "journal-read: Not a directory\n"),
    ("no-file", make_file_unreadable, "journal-read: Is a directory\n"),
]


@pytest.mark.parametrize(("make", "said"), [case[1:] for case in UNREADABLE], ids=[case[0] for case in UNREADABLE])
def test_a_journal_that_cannot_be_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], None], said: str
) -> None:
    make(tmp_path)
    assert main(["gc", "--config", str(write_config(tmp_path)), "--dry-run"]) == 1
    assert capsys.readouterr() == ("", said)


def test_a_configuration_that_is_wrong_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gc", "--config", str(write_config(tmp_path, retention="for ever")), "--dry-run"]) == 1
    out, err = capsys.readouterr()
    assert (out, "retention" in err) == ("", True)


async def test_without_dry_run_nothing_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no other way yet, and whoever leaves it out must not believe that there is."""
    await make_vault(tmp_path)
    before = snapshot(tmp_path / "data")
    with pytest.raises(SystemExit) as exit_info:
        main(["gc", "--config", str(write_config(tmp_path))])
    assert exit_info.value.code == 2
    assert "--dry-run" in capsys.readouterr().err
    assert snapshot(tmp_path / "data") == before
