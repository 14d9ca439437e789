"""`live-origin inspect`: the facts, the order of files, and the exit status."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from origin import inspect
from origin.inspect import add_inspect_arguments, run_inspect
from tests.support.mp4 import (
    NOT_SYNC,
    SYNC,
    Sample,
    audio_entry,
    box,
    elst,
    fragment,
    init_segment,
    prft,
    styp,
    trak,
    trex,
)
from tests.support.ts import VIDEO_PID, Muxer, pes

DEFAULTS = [trex(duration=512)]
INIT = init_segment(trak(timescale=12_800, edits=elst((0, 1_024))), defaults=DEFAULTS)
GROUP = [Sample(size=100, flags=SYNC), Sample(size=10, flags=NOT_SYNC)]
GROUP_TICKS = 1_024
FIRST = styp("msdh") + fragment(GROUP, 0, sequence=1)
SECOND = styp("msdh", "lmsg") + fragment(GROUP, GROUP_TICKS, sequence=2)
THIRD_AFTER_A_HOLE = styp("msdh", "slat") + fragment(GROUP, 3 * GROUP_TICKS, sequence=3)


def ts_segment(begin: int = 90_000, counter: int = 0) -> Muxer:
    muxer = Muxer({VIDEO_PID: counter}).add_tables([(VIDEO_PID, 0x1B)])
    for number in range(4):
        muxer.add_pes(VIDEO_PID, pes(begin + number * 3_600), random_access=number == 0)
    return muxer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder the command runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Write files, run the command on them in this order, and return exit status, output and errors."""

    def act(files: dict[str, bytes], *options: str) -> tuple[int, str, str]:
        for name, body in files.items():
            (folder / name).write_bytes(body)
        parser = argparse.ArgumentParser()
        add_inspect_arguments(parser)
        status = run_inspect(parser.parse_args([*options, *files]))
        output, errors = capsys.readouterr()
        return status, output, errors

    return act


def objects(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_facts_of_each_file_are_one_line_of_json(run: Any) -> None:
    status, output, errors = run({"init.mp4": INIT, "1.m4s": FIRST, "2.m4s": SECOND}, "--json")
    assert (status, errors) == (0, "")
    init, first, second = objects(output)
    assert (init["file"], init["kind"], init["bytes"], init["brands"]) == (
        "init.mp4",
        "init",
        len(INIT),
        ["cmfc", "iso6"],
    )
    assert init["init_tracks"] == [
        {
            "track_id": 1,
            "handler": "vide",
            "timescale": 12_800,
            "codec": "avc1.64001f",
            "width": 1280,
            "height": 720,
            "edit_media_time": 1_024,
            "defaults": {"duration": 512, "size": 0, "flags": 0},
            "setup": "03",
            "protection": "",
        }
    ]
    assert (first["kind"], first["sequence_first"], first["unreferenced_bytes"]) == ("segment", 1, 0)
    assert first["tracks"] == [
        {
            "track_id": 1,
            "timescale": 12_800,
            "codec": "avc1.64001f",
            "decode_time": 0,
            "end_time": GROUP_TICKS,
            "composition_time": 0,
            "duration": GROUP_TICKS,
            "samples_count": 2,
            "samples_bytes": 110,
            "starts_with_sync": True,
            "fragments_count": 1,
            "gaps_count": 0,
            "gap": None,
        }
    ]
    assert (second["brands"], second["tracks"][0]["gap"]) == (["msdh", "lmsg"], 0)
    assert [each["problems"] for each in (init, first, second)] == [[], [], []]


def test_the_wall_clock_is_in_the_json(run: Any) -> None:
    _, output, _ = run({"1.m4s": prft(2_208_988_800 << 32, 7) + FIRST}, "--json")
    assert objects(output)[0]["producer_time"] == {"track_id": 1, "wall_ms": 0, "media_time": 7}


def test_the_table_tells_the_same_to_people(run: Any) -> None:
    files = {"init.mp4": INIT, "1.m4s": FIRST, "2.m4s": SECOND, "4.m4s": THIRD_AFTER_A_HOLE}
    status, output, errors = run(files)
    assert (status, errors) == (0, "")
    lines = [line.split() for line in output.splitlines() if line.strip()]
    assert lines[0] == ["file", "track", "codec", "begins", "s", "lasts", "s", "gap", "s", "frames", "sync", "notes"]
    assert lines[2][:4] == ["init.mp4", "1", "vide", "avc1.64001f"]
    assert "edit list from 1024" in output
    assert lines[3][:8] == ["1.m4s", "1", "vide", "avc1.64001f", "0.000", "0.080", "2", "yes"]
    assert lines[4][:9] == ["2.m4s", "1", "vide", "avc1.64001f", "0.080", "0.080", "0.000", "2", "yes"]
    assert " ".join(lines[4][9:]) == "fragment number 2, last segment"
    assert lines[5][6] == "0.080"
    assert " ".join(lines[5][9:]) == "fragment number 3, filler"


def test_an_init_segment_speaks_for_what_is_behind_it_and_the_first_one_for_what_is_before(run: Any) -> None:
    sound = init_segment(trak(audio_entry("Opus"), handler="soun", timescale=48_000), defaults=DEFAULTS)
    files = {"1.m4s": FIRST, "init.mp4": INIT, "2.m4s": SECOND, "init-1.mp4": sound, "a.m4s": FIRST}
    _, output, _ = run(files, "--json")
    segments = [each for each in objects(output) if each["kind"] == "segment"]
    assert [each["tracks"][0]["codec"] for each in segments] == ["avc1.64001f", "avc1.64001f", "Opus"]
    # Another init segment begins another presentation.
    assert [each["tracks"][0]["gap"] for each in segments] == [None, None, None]


def test_without_an_init_segment_times_are_ticks(run: Any) -> None:
    status, output, _ = run({"1.m4s": SECOND})
    assert status == 0
    assert f"{GROUP_TICKS} ticks" in output
    assert "no init segment" in output


def test_one_file_may_hold_everything(run: Any) -> None:
    body = INIT + FIRST[len(styp("msdh")) :] + SECOND
    status, output, _ = run({"all.mp4": body}, "--json")
    (report,) = objects(output)
    assert (status, report["kind"], report["moofs_count"]) == (0, "init and segment", 2)
    assert (report["init_tracks"][0]["codec"], report["tracks"][0]["samples_count"]) == ("avc1.64001f", 4)


def test_transport_streams_are_known_by_their_bytes(run: Any) -> None:
    files = {"a": ts_segment().body, "b": ts_segment(begin=90_000 + 4 * 3_600).body}
    status, output, errors = run(files, "--json")
    assert (status, errors) == (0, "")
    first, second = objects(output)
    assert (first["kind"], first["packets_count"], first["starts_with_tables"]) == ("mpeg-ts", 6, True)
    (stream,) = first["streams"]
    assert (stream["pid"], stream["kind"], stream["codec"], stream["frames_count"]) == (VIDEO_PID, "video", "h264", 4)
    assert (stream["times"]["first_pts"], stream["duration"], stream["gap"]) == (90_000, 14_400, None)
    assert second["streams"][0]["gap"] == 0


def test_time_stamps_that_begin_anew_make_no_gap(run: Any) -> None:
    begin = (1 << 33) - 4 * 3_600
    _, output, _ = run({"a.ts": ts_segment(begin).body, "b.ts": ts_segment(0).body}, "--json")
    assert objects(output)[1]["streams"][0]["gap"] == 0


def test_a_table_of_transport_streams(run: Any) -> None:
    _, output, _ = run({"a.ts": ts_segment().body})
    (line,) = [line.split() for line in output.splitlines() if line.lstrip().startswith("a.ts")]
    assert line == ["a.ts", "256", "video", "h264", "1.000", "0.160", "4", "yes", "6", "packets"]


LATE_TABLES = Muxer().add_pes(VIDEO_PID, pes(0)).add_tables([(VIDEO_PID, 0x1B)])
DAMAGED = [
    ("cut", FIRST[:-1], "truncated", len(FIRST) - 118, "mdat"),
    ("no-media", b"<html>404</html>", "not-media", 0, "begins with"),
    ("empty", b"", "not-media", 0, "begins with"),
    ("no-fragment", styp("msdh"), "missing-part", 0, "moof"),
    ("init-that-is-cut", INIT[:-1], "truncated", 20, "moov"),
    ("init-without-moov", styp("cmfc", kind="ftyp"), "missing-part", 0, "moov"),
    ("one-file-whose-end-is-cut", INIT + FIRST[:-1], "truncated", len(INIT + FIRST) - 118, "mdat"),
    ("gap-inside", FIRST + fragment(GROUP, 5_000), "gaps", None, "track 1: fragments"),
    ("ts-out-of-sync", ts_segment().body[:-188] + bytes(188), "lost-sync", 5 * 188, "instead of 47"),
    (
        "ts-with-a-hole",
        b"".join([*ts_segment().packets[:3], *ts_segment().packets[4:]]),
        "continuity",
        3 * 188,
        "missing: 1",
    ),
    (
        "ts-marked-as-damaged",
        ts_segment().add(VIDEO_PID, bytes(184), has_error=True).body,
        "transport-errors",
        6 * 188,
        "damaged: 1",
    ),
]


@pytest.mark.parametrize(
    ("body", "reason", "offset", "detail"), [case[1:] for case in DAMAGED], ids=[case[0] for case in DAMAGED]
)
def test_damage_is_told_with_its_place_and_fails_the_command(
    run: Any, body: bytes, reason: str, offset: int | None, detail: str
) -> None:
    status, output, errors = run({"good.mp4": INIT, "bad": body}, "--json")
    assert (status, errors) == (1, "")
    good, bad = objects(output)
    assert good["problems"] == []
    (problem,) = bad["problems"]
    assert (problem["reason"], problem["offset"]) == (reason, offset)
    assert detail in problem["detail"]
    status, output, errors = run({"good.mp4": INIT, "bad": body})
    place = "" if offset is None else f" at byte {offset}"
    assert status == 1
    assert errors.startswith(f"bad: {reason}{place}: ")
    assert "bad" in output


def test_a_damaged_file_does_not_stop_the_others(run: Any) -> None:
    status, output, _ = run({"init.mp4": INIT, "1.m4s": b"junk", "2.m4s": SECOND}, "--json")
    assert status == 1
    assert [each["kind"] for each in objects(output)] == ["init", "segment", "segment"]
    assert objects(output)[2]["tracks"][0]["samples_count"] == 2


def test_a_track_that_the_init_segment_does_not_know_is_a_problem(run: Any) -> None:
    status, output, _ = run({"init.mp4": INIT, "1.m4s": fragment(GROUP, track_id=7)}, "--json")
    assert status == 1
    (problem,) = objects(output)[1]["problems"]
    assert (problem["reason"], problem["detail"]) == ("unknown-track", "track 7 is not in the init segment")


def test_what_is_odd_but_whole_is_told_and_passes(run: Any) -> None:
    status, output, _ = run({"1.m4s": box("emsg") + FIRST + box("mdat", bytes(9)), "late.ts": LATE_TABLES.body})
    assert status == 0
    assert "event messages: 1" in output
    assert "bytes that no sample refers to: 9" in output
    assert "no tables at the start" in output


def test_files_that_cannot_be_read_are_problems(run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "folder").mkdir()
    monkeypatch.setattr(inspect, "FILE_BYTES_MAX", len(INIT))
    parser = argparse.ArgumentParser()
    add_inspect_arguments(parser)
    run({"init.mp4": INIT, "big.mp4": INIT + b"\0"}, "--json")
    reports = inspect.inspect_files([folder / name for name in ("init.mp4", "big.mp4", "absent", "folder")])
    assert [[problem.reason for problem in report.problems] for report in reports] == [[], *[["unreadable"]] * 3]
    details = [report.problems[0].detail for report in reports[1:]]
    assert details == [f"more than {len(INIT)} bytes", "No such file or directory", "Is a directory"]


def test_names_and_brands_cannot_steer_a_terminal(run: Any) -> None:
    name = "[bold]a\x1b[2J\n.mp4"
    status, output, errors = run({name: styp("\x1b[2J") + FIRST[:-1]})
    assert status == 1
    assert "\x1b" not in output + errors
    assert "[bold]a?[2J?.mp4" in output
    assert errors.startswith("[bold]a?[2J?.mp4: truncated")
