"""Whether segments can be played behind another init segment: what is told, and what a decoder says to it."""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from selection.init_segment import Init, SampleDefaults, Track, parse_init
from selection.interchange import breaks, reads_alike
from tests.support.mp4 import (
    NOT_SYNC,
    SYNC,
    Sample,
    box,
    fragment,
    init_segment,
    moof,
    tfdt,
    tfhd,
    traf,
    trak,
    trex,
    trun,
)
from tests.support.packagers import DASH, FFMPEG, Feed, ffmpeg_command, shaka_commands
from tests.support.recordings import COMMAND_S_MAX, FIRST_NUMBER, record

VIDEO: Final = Track(1, "vide", 12_800, "avc1.64001f", 1280, 720, 1_024, setup=b"\3 parameter sets")
SOUND: Final = Track(2, "soun", 48_000, "mp4a.40.2", setup=b"\x40 configuration")
REFERENCE: Final = Init(("cmfc",), (VIDEO, SOUND))


def with_video(track: Track) -> Init:
    return replace(REFERENCE, tracks=(track, SOUND))


PLAYABLE = [
    ("the-same", REFERENCE),
    ("other-brands", replace(REFERENCE, brands=("iso6", "dash"))),
    ("another-order", replace(REFERENCE, tracks=(SOUND, VIDEO))),
    ("fewer-tracks", replace(REFERENCE, tracks=(SOUND,))),
    ("an-edit-list-from-0", replace(REFERENCE, tracks=(VIDEO, replace(SOUND, edit_media_time=0)))),
    ("other-defaults", with_video(replace(VIDEO, defaults=SampleDefaults(512, 0, 0)))),
    ("another-profile-header", with_video(replace(VIDEO, codec="avc1.640028"))),
]
NOT_PLAYABLE = [
    ("another-track", replace(REFERENCE, tracks=(VIDEO, replace(SOUND, track_id=3))), "track"),
    ("another-handler", with_video(replace(VIDEO, handler="soun")), "track"),
    ("another-codec", with_video(replace(VIDEO, codec="hvc1.1.6.L93.90")), "codec"),
    ("parameter-sets-in-band", with_video(replace(VIDEO, codec="avc3.64001f")), "codec"),
    ("another-timescale", with_video(replace(VIDEO, timescale=90_000)), "timescale"),
    ("another-width", with_video(replace(VIDEO, width=1920)), "picture-size"),
    ("another-height", with_video(replace(VIDEO, height=1080)), "picture-size"),
    ("encrypted", with_video(replace(VIDEO, protection=b"cenc")), "encryption"),
    ("other-parameter-sets", with_video(replace(VIDEO, setup=b"\3 others")), "setup"),
    ("another-edit", with_video(replace(VIDEO, edit_media_time=512)), "edit-list"),
    ("no-edit", with_video(replace(VIDEO, edit_media_time=None)), "edit-list"),
    ("second-track", replace(REFERENCE, tracks=(VIDEO, replace(SOUND, timescale=44_100))), "timescale"),
]


@pytest.mark.parametrize("own", [case[1] for case in PLAYABLE], ids=[case[0] for case in PLAYABLE])
def test_nothing_breaks_where_a_decoder_needs_nothing_else(own: Init) -> None:
    assert breaks(own, REFERENCE) is None


@pytest.mark.parametrize(("own", "token"), [case[1:] for case in NOT_PLAYABLE], ids=[case[0] for case in NOT_PLAYABLE])
def test_the_first_thing_that_breaks_is_told(own: Init, token: str) -> None:
    assert breaks(own, REFERENCE) == token


@pytest.mark.parametrize("kind", ["avc3", "hev1", "av01", "vp09"])
def test_profile_and_level_count_where_the_setup_does_not_tell_them(kind: str) -> None:
    own, reference = (Init((), (replace(VIDEO, codec=f"{kind}.{profile}"),)) for profile in "12")
    assert breaks(own, reference) == "codec"


# -- real packagers

FEED: Final = Feed(FIRST_NUMBER, segments=1, live=False)


@dataclass(frozen=True)
class Packaged:
    """One rendition: its init segment and its first segment."""

    init: bytes
    segment: bytes


def package(folder: Path, *more: str) -> list[Packaged]:
    """Return picture and sound as ffmpeg's DASH muxer makes them, with further options of the encoder."""
    folder.mkdir()
    _run(ffmpeg_command(FEED, DASH.output, str(folder), *more))
    return packaged(folder)


def package_with_shaka(folder: Path) -> list[Packaged]:
    """Return the same of shaka-packager behind ffmpeg."""
    folder.mkdir()
    packager, encoder = shaka_commands(FEED, folder / "fifo", str(folder), "r$RepresentationID$-$Number$.m4s")
    with subprocess.Popen(encoder, stdin=subprocess.DEVNULL):
        _run(packager)
    return packaged(folder)


def packaged(folder: Path) -> list[Packaged]:
    return [
        Packaged((folder / f"init-{index}.mp4").read_bytes(), min(folder.glob(f"r{index}-*")).read_bytes())
        for index in (0, 1)
    ]


def _run(command: list[str]) -> None:
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=COMMAND_S_MAX)


def decoded(init: bytes, segment: bytes, folder: Path) -> tuple[str, str]:
    """Return time and digest of every decoded frame, and what the decoder said."""
    path = folder / "whole.mp4"
    path.write_bytes(init + segment)
    command = [*FFMPEG, "-i", str(path), "-copyts", "-f", "framemd5", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_S_MAX)
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> list[Packaged]:
    """Picture and sound of ffmpeg."""
    return package(tmp_path_factory.mktemp("reference") / "ffmpeg")


def check(own: Packaged, reference: Packaged, token: str | None, folder: Path) -> None:
    """Compare what is told to what a decoder makes of a segment behind either init segment."""
    assert breaks(parse_init(own.init), parse_init(reference.init)) == token
    frames, said = decoded(own.init, own.segment, folder)
    assert (said, frames.count("\n") > 48) == ("", True)
    assert (decoded(reference.init, own.segment, folder) == (frames, "")) is (token is None)


def test_two_runs_of_one_packager_are_interchangeable(reference: list[Packaged], tmp_path: Path) -> None:
    for own, other in zip(package(tmp_path / "again"), reference, strict=True):
        check(own, other, None, tmp_path)


def test_two_packagers_behind_one_encoder_are_interchangeable(reference: list[Packaged], tmp_path: Path) -> None:
    for own, other in zip(package_with_shaka(tmp_path / "shaka"), reference, strict=True):
        check(own, other, None, tmp_path)
        check(other, own, None, tmp_path)


PICTURES = [
    ("another-size", ["-s", "320x180"], "picture-size"),
    ("another-quantiser", ["-qp", "20"], "setup"),
    ("arithmetic-coding", ["-coder", "1"], "setup"),
    ("frames-out-of-order", ["-bf", "2"], "setup"),
    ("another-frame-rate", ["-r", "30"], "timescale"),
]
SOUNDS = [
    ("another-rate", ["-ar", "44100"], "timescale"),
    # Between one channel and two, ffmpeg's decoder changes by itself; a player's need not.
    ("six-channels", ["-ac", "6"], "setup"),
    ("another-codec", ["-c:a", "libopus", "-dash_segment_type", "mp4"], "codec"),
]


@pytest.mark.parametrize(("options", "token"), [case[1:] for case in PICTURES], ids=[case[0] for case in PICTURES])
def test_pictures_of_another_encoding_break(
    options: list[str], token: str, reference: list[Packaged], tmp_path: Path
) -> None:
    check(package(tmp_path / "other", *options)[0], reference[0], token, tmp_path)


@pytest.mark.parametrize(("options", "token"), [case[1:] for case in SOUNDS], ids=[case[0] for case in SOUNDS])
def test_sound_of_another_encoding_breaks(
    options: list[str], token: str, reference: list[Packaged], tmp_path: Path
) -> None:
    check(package(tmp_path / "other", *options)[1], reference[1], token, tmp_path)


def test_the_same_key_is_not_enough_where_each_run_draws_its_own_vector(tmp_path: Path) -> None:
    runs = [packaged(record("shaka-encrypted", tmp_path / name)) for name in ("one", "other")]
    for one, other in zip(*runs, strict=True):
        assert breaks(parse_init(one.init), parse_init(one.init)) is None
        assert breaks(parse_init(one.init), parse_init(other.init)) == "encryption"


# -- what a segment leaves to its init segment

# (id, sample defaults of the delivered init segment, whether the segment reads alike)
DEFAULTS: Final = [
    ("same", trex(duration=512, size=10, flags=SYNC), True),
    ("duration", trex(duration=1_024, size=10, flags=SYNC), False),
    ("size", trex(duration=512, size=0, flags=SYNC), False),
    ("size-beyond-the-data", trex(duration=512, size=11, flags=SYNC), False),
    ("flags-of-the-first-sample", trex(duration=512, size=10, flags=NOT_SYNC), False),
]


@pytest.mark.parametrize(("delivered", "is_alike"), [case[1:] for case in DEFAULTS], ids=[case[0] for case in DEFAULTS])
def test_a_segment_that_leaves_its_samples_to_the_init_segment_reads_alike_with_equal_defaults_only(
    delivered: bytes, is_alike: bool
) -> None:
    own = parse_init(init_segment(trak(), defaults=[trex(duration=512, size=10, flags=SYNC)]))
    bare = moof(traf(tfhd(1), tfdt(0), trun([Sample()] * 3, data_offset=0)))
    body = moof(traf(tfhd(1), tfdt(0), trun([Sample()] * 3, data_offset=len(bare) + 8))) + box("mdat", bytes(30))
    assert reads_alike(body, own, parse_init(init_segment(trak(), defaults=[delivered]))) == is_alike


def test_a_segment_that_tells_its_samples_itself_reads_alike_with_any_defaults() -> None:
    body = fragment([Sample(duration=512, size=10, flags=SYNC), Sample(duration=512, size=10, flags=NOT_SYNC)])
    inits = [parse_init(init_segment(trak(), defaults=[each])) for _, each, _ in DEFAULTS]
    assert all(reads_alike(body, inits[0], init) for init in inits)
