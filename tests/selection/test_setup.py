"""What a decoder is set up with: equal for two packagers of one encoder's output, different where it matters."""

import struct
from collections.abc import Callable

import pytest

from selection.init_segment import Track, parse_init
from selection.media import Body
from selection.setup import SETUP_BYTES_MAX
from tests.support.mp4 import audio_entry, box, full_box, init_segment, trak, visual_entry, words
from tests.support.steps import counted_steps

VPS, SPS, PPS, SEI = 32, 33, 34, 39
AVC_SPS = bytes.fromhex("6742c00bda0a37e4c044000003000400000300c83c50aa80")
AVC_PPS = bytes.fromhex("68ce0472")
FOUR_BYTE_LENGTHS = b"\3"
KEY_ID = b"1" * 16


def nal(*units: bytes) -> bytes:
    return b"".join(struct.pack(">H", len(unit)) + unit for unit in units)


def avcc(
    sps: tuple[bytes, ...] = (AVC_SPS,),
    pps: tuple[bytes, ...] = (AVC_PPS,),
    *,
    head: str = "0142c00bff",
    tail: str = "",
) -> bytes:
    sets = bytes([0xE0 | len(sps)]) + nal(*sps) + bytes([len(pps)]) + nal(*pps)
    return box("avcC", bytes.fromhex(head) + sets + bytes.fromhex(tail))


def hvcc(*arrays: tuple[int, tuple[bytes, ...]], complete: int = 0x80, length_size: int = 3) -> bytes:
    head = bytes.fromhex("0101 60000000 900000000000 5d f000fcfdf8f80000") + bytes([0x0C | length_size])
    listed = [bytes([complete | kind]) + struct.pack(">H", len(units)) + nal(*units) for kind, units in arrays]
    return box("hvcC", head, bytes([len(arrays)]), *listed)


def esds(specific: str, *, object_type: int = 0x40, long_lengths: bool = False, bit_rate: int = 0) -> bytes:
    """Return the box as shaka-packager writes it, or with lengths of four bytes as ffmpeg does."""

    def descriptor(tag: int, content: bytes) -> bytes:
        return bytes([tag]) + (b"\x80\x80\x80" if long_lengths else b"") + bytes([len(content)]) + content

    config = bytes([object_type, 0x15]) + bytes(3) + words(bit_rate, bit_rate) + descriptor(5, bytes.fromhex(specific))
    return full_box("esds", 0, 0, descriptor(3, bytes(3) + descriptor(4, config) + descriptor(6, b"\2")))


def dops(channels: int, *, pre_skip: int = 312, mapping: bytes = b"\0") -> bytes:
    return box("dOps", struct.pack(">BBHIh", 0, channels, pre_skip, 48_000, 0), mapping)


def sinf(original: bytes, scheme: bytes = b"cbcs", key_id: bytes = KEY_ID, vector: bytes = bytes(16)) -> bytes:
    tenc = full_box("tenc", 1, 0, b"\0\x19\1\0", key_id, bytes([len(vector)]), vector)
    return box("sinf", box("frma", original), full_box("schm", 0, 0, scheme, words(0x10000)), box("schi", tenc))


def only_track(entry: bytes, handler: str) -> Track:
    (track,) = parse_init(init_segment(trak(entry, handler=handler))).tracks
    return track


def picture(kind: str, *children: bytes) -> Track:
    return only_track(visual_entry(kind, *children), "vide")


def sound(kind: str, *children: bytes) -> Track:
    return only_track(audio_entry(kind, *children), "soun")


def test_of_avc_the_parameter_sets_count() -> None:
    sets = nal(AVC_SPS, AVC_PPS)
    assert picture("avc1", avcc()).setup == FOUR_BYTE_LENGTHS + sets
    assert picture("avc1", box("btrt", bytes(12)), avcc(head="01640028ff", tail="fdf8f800")).setup == (
        FOUR_BYTE_LENGTHS + sets
    )


HEVC = ((VPS, (b"\x40\1v",)), (SPS, (b"\x42\1s", b"\x42\1t")), (PPS, (b"\x44\1p",)))
HEVC_SETS = nal(b"\x40\1v", b"\x42\1s", b"\x42\1t", b"\x44\1p")
HEVC_CASES = [
    ("in-order", hvcc(*HEVC)),
    ("in-another-order", hvcc(*reversed(HEVC))),
    ("not-marked-as-complete", hvcc(*HEVC, complete=0)),
    ("with-words-of-the-encoder", hvcc((SEI, (b"\x4e\1x265",)), *HEVC)),
    ("in-two-arrays", hvcc(HEVC[0], (SPS, (b"\x42\1s",)), HEVC[2], (SPS, (b"\x42\1t",)))),
    ("with-zeros-of-a-transport-stream", hvcc(*HEVC[:2], (PPS, (b"\x44\1p\0",)))),
]


@pytest.mark.parametrize("record", [case[1] for case in HEVC_CASES], ids=[case[0] for case in HEVC_CASES])
def test_of_hevc_the_parameter_sets_count_by_type(record: bytes) -> None:
    assert picture("hvc1", record).setup == FOUR_BYTE_LENGTHS + HEVC_SETS


@pytest.mark.parametrize(("kind", "record"), [("avc3", avcc()), ("hev1", hvcc(*HEVC))])
def test_of_parameter_sets_in_band_only_the_size_of_lengths_counts(kind: str, record: bytes) -> None:
    assert picture(kind, record).setup == FOUR_BYTE_LENGTHS


@pytest.mark.parametrize(
    ("kind", "record"),
    [(kind, avcc(head="0142c00bfd")) for kind in ("avc1", "avc3")]
    + [(kind, hvcc(*HEVC, length_size=1)) for kind in ("hvc1", "hev1")],
)
def test_shorter_lengths_make_another_setup(kind: str, record: bytes) -> None:
    assert picture(kind, record).setup[:1] == b"\1"


SAME_SOUND = [
    ("lengths-of-four-bytes", esds("1188", long_lengths=True)),
    ("bit-rates", esds("1188", bit_rate=48_000)),
    ("sbr-extension-that-says-no", esds("118856e500")),
    ("sbr-extension-that-says-yes", esds("118856e59880")),
    ("frequency-in-hz", esds("1780 5dc0 08")),
]
OTHER_SOUND = [
    ("channels", esds("1190")),
    ("frequency", esds("1208")),
    ("frequency-in-hz", esds("1780 5dc2 08")),
    ("kind-of-aac", esds("0988")),
    ("frames-of-960-samples", esds("118c")),
    ("sbr", esds("2b098800")),
    ("escaped", esds("f8 46 20 0000")),
    ("mp3", esds("", object_type=0x6B)),
]


@pytest.mark.parametrize("record", [case[1] for case in SAME_SOUND], ids=[case[0] for case in SAME_SOUND])
def test_what_packagers_write_differently_of_the_same_sound_does_not_count(record: bytes) -> None:
    assert sound("mp4a", record).setup == sound("mp4a", esds("1188")).setup != b""


@pytest.mark.parametrize("record", [case[1] for case in OTHER_SOUND], ids=[case[0] for case in OTHER_SOUND])
def test_another_configuration_of_sound_is_another_setup(record: bytes) -> None:
    assert sound("mp4a", record).setup not in (sound("mp4a", esds("1188")).setup, b"")


def test_sound_with_sbr_is_told_by_both_of_its_frequencies() -> None:
    setups = {sound("mp4a", esds(specific)).setup for specific in ("2b118800", "2b0a0800", "eb118800")}
    assert len(setups) == 3
    assert sound("mp4a", esds("2b1188000000")).setup in setups


def test_sound_that_nobody_makes_anew_from_adts_is_told_by_all_of_its_configuration() -> None:
    one, other = (sound("mp4a", esds(f"f94620 00{end}")).setup for end in ("00", "01"))
    assert one != other


def test_of_opus_the_channels_and_their_mapping_count() -> None:
    assert sound("Opus", dops(2)).setup == sound("Opus", dops(2, pre_skip=0)).setup == b"\2\0"
    assert sound("Opus", dops(6, mapping=b"\1\4\2\0\4\1\2\3\5")).setup == b"\6\1\4\2\0\4\1\2\3\5"
    assert sound("Opus", dops(2)).codec == "Opus"


@pytest.mark.parametrize(("kind", "child"), [("av01", "av1C"), ("vp09", "vpcC"), ("dvh1", "hvcC")])
def test_what_frames_tell_and_what_is_not_known_needs_no_setup(kind: str, child: str) -> None:
    assert picture(kind, box(child, bytes(99))).setup == b""


DAMAGED = [
    ("avc1", box("avcC")),
    ("avc1", avcc()[:4] + b"avcX" + avcc()[8:]),
    ("avc1", struct.pack(">I4s", 4, b"avcC")),
    ("avc1", box("avcC", bytes.fromhex("0142c00bff e1 0018 6742"))),
    ("avc1", box("avcC", bytes.fromhex("0142c00bff e0 01 0002 68"))),
    ("avc1", avcc((bytes(1) + b"x" * SETUP_BYTES_MAX,))),
    ("avc3", box("avcC", b"\1\x42\xc0\x0b")),
    ("hvc1", box("hvcC", bytes(22))),
    ("hvc1", box("hvcC", bytes(22) + b"\1\x20")),
    ("hvc1", hvcc(*HEVC * 3)),
    ("hvc1", hvcc((SEI, (b"x",) * 65), *HEVC)),
    ("hev1", box("hvcC", bytes(21))),
]
DAMAGED_SOUND = [
    ("mp4a", esds("")),
    ("mp4a", esds("11")),
    ("mp4a", esds("1688")),  # reserved frequency
    ("mp4a", esds("1780 5d")),
    ("mp4a", box("esds", b"\0\0\0\0\3\x80\x80\x80\x80\x80")),
    ("Opus", box("dOps", bytes(10))),
]


@pytest.mark.parametrize(("kind", "child"), DAMAGED)
def test_a_damaged_configuration_of_a_picture_is_none(kind: str, child: bytes) -> None:
    assert picture(kind, child).setup == b""


@pytest.mark.parametrize(("kind", "child"), DAMAGED_SOUND)
def test_a_damaged_configuration_of_sound_is_none(kind: str, child: bytes) -> None:
    assert sound(kind, child).setup == b""


def test_every_cut_of_a_configuration_is_survived() -> None:
    for kind, whole in (("avc1", avcc()), ("hvc1", hvcc(*HEVC)), ("mp4a", esds("1188")), ("Opus", dops(2))):
        for length in range(8, len(whole)):
            cut = box(whole[4:8].decode(), whole[8:length])
            track = sound(kind, cut) if kind in ("mp4a", "Opus") else picture(kind, cut)
            assert track.codec.startswith(kind)


def test_an_encrypted_track_has_the_setup_of_its_original_and_its_protection() -> None:
    for clear, encrypted in (
        (picture("avc1", avcc()), picture("encv", sinf(b"avc1"), avcc())),
        (sound("mp4a", esds("1188")), sound("enca", sinf(b"mp4a"), esds("1188"))),
    ):
        assert encrypted.setup == clear.setup != b""
        assert encrypted.protection == b"cbcs" + b"\0\x19\1\0" + KEY_ID + b"\x10" + bytes(16)
        assert clear.protection == b""


OTHER_PROTECTION = [
    ("scheme", sinf(b"avc1", scheme=b"cenc")),
    ("key", sinf(b"avc1", key_id=b"2" * 16)),
    ("constant-vector", sinf(b"avc1", vector=b"2" * 16)),
]


@pytest.mark.parametrize("other", [case[1] for case in OTHER_PROTECTION], ids=[case[0] for case in OTHER_PROTECTION])
def test_scheme_key_and_vector_make_another_protection(other: bytes) -> None:
    assert picture("encv", other, avcc()).protection != picture("encv", sinf(b"avc1"), avcc()).protection


DAMAGED_PROTECTION = [
    ("none", b"", b""),
    ("empty", box("sinf", box("schm"), box("schi", box("tenc"))), b""),
    ("scheme-only", box("sinf", full_box("schm", 0, 0, b"cenc")), b"cenc"),
    ("with-a-broken-child", box("sinf", b"\0\0\0\4schm"), b""),
    ("far-too-long", box("sinf", box("schi", full_box("tenc", 1, 0, b"x" * 999))), b"x" * 37),
]


@pytest.mark.parametrize(
    ("child", "protection"), [case[1:] for case in DAMAGED_PROTECTION], ids=[case[0] for case in DAMAGED_PROTECTION]
)
def test_of_a_damaged_protection_is_told_what_is_there(child: bytes, protection: bytes) -> None:
    assert picture("encv", child, avcc()).protection == protection


def test_work_is_bounded_whatever_counts_say() -> None:
    hostile = [
        ("hvc1", box("hvcC", bytes(22) + b"\xff" + b"\x20\xff\xff" * 255)),
        ("hvc1", box("hvcC", bytes(22) + b"\x08" + (b"\x20\0\x40" + bytes(128)) * 8)),
        ("hvc1", box("hvcC", bytes(22) + b"\x01\x20\xff\xff" + bytes(1_000_000))),
        ("avc1", box("avcC", b"\1\x42\xc0\x0b\xff\xff" + bytes(62) + b"\xff" + bytes(1_000_000))),
    ]
    for kind, child in hostile:
        with counted_steps() as steps:
            picture(kind, child)
        assert steps.count < 5_000


@pytest.mark.parametrize("form", [bytearray, memoryview, lambda body: memoryview(bytearray(body)).toreadonly()])
def test_an_encrypted_track_is_told_alike_whatever_holds_the_bytes(form: Callable[[bytes], Body]) -> None:
    init = init_segment(trak(visual_entry("encv", sinf(b"avc1"), avcc()), handler="vide"))
    assert parse_init(init).tracks[0].protection
    assert parse_init(form(init)) == parse_init(init)
