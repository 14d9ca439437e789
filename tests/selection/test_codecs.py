"""Codec names of sample entries, as manifests write them."""

import struct

import pytest

from selection.init_segment import parse_init
from tests.support.mp4 import audio_entry, avcc, box, full_box, init_segment, trak, visual_entry

# As ffmpeg 5.1 writes it for AAC-LC at 48 kHz.
AAC = bytes.fromhex("0380808025000100048080801740150000000000bb800000bb800580808005118856e500068080800102")
HEVC_MAIN = bytes.fromhex("01 01 60000000 900000000000 5d")
HEVC_HIGH = bytes.fromhex("01 22 20000000 b00000000000 99")


def esds(descriptors: bytes) -> bytes:
    return full_box("esds", 0, 0, descriptors)


def decoder_config(object_type: int, specific: bytes = b"") -> bytes:
    content = bytes([object_type, 0x15]) + bytes(11) + specific
    return bytes([4, len(content)]) + content


def es_descriptor(flags: int, fields: bytes, config: bytes) -> bytes:
    content = bytes([0, 1, flags]) + fields + config
    return bytes([3, len(content)]) + content


def specific(content: bytes) -> bytes:
    return bytes([5, len(content)]) + content


LC = specific(b"\x11\x90")

VIDEO = [
    ("avc-high-3.1", "avc1", [avcc(0x64, 0, 0x1F)], "avc1.64001f"),
    ("avc-constrained-baseline-in-band", "avc3", [avcc(0x42, 0xC0, 0x0B)], "avc3.42c00b"),
    ("avc-without-configuration", "avc1", [], "avc1"),
    ("avc-with-a-short-one", "avc1", [box("avcC", b"\x01\x64\x00")], "avc1"),
    ("avc-with-a-broken-child", "avc1", [struct.pack(">I4s", 4, b"avcC")], "avc1"),
    ("hevc-main", "hvc1", [box("hvcC", HEVC_MAIN)], "hvc1.1.6.L93.90"),
    ("hevc-main10-high-tier", "hev1", [box("hvcC", HEVC_HIGH)], "hev1.2.4.H153.B0"),
    ("hevc-with-a-profile-space", "hvc1", [box("hvcC", b"\x01\x41" + HEVC_MAIN[2:])], "hvc1.A1.6.L93.90"),
    ("hevc-with-a-short-one", "hvc1", [box("hvcC", HEVC_MAIN[:-1])], "hvc1"),
    ("av1-main-8-bit", "av01", [box("av1C", bytes.fromhex("81 04 0c 00"))], "av01.0.04M.08"),
    ("av1-high-10-bit-high-tier", "av01", [box("av1C", bytes.fromhex("81 2d c0 00"))], "av01.1.13H.10"),
    ("av1-professional-12-bit", "av01", [box("av1C", bytes.fromhex("81 4d 60 00"))], "av01.2.13M.12"),
    ("vp9", "vp09", [full_box("vpcC", 1, 0, bytes.fromhex("00 1f 82 02 02 02 0000"))], "vp09.00.31.08"),
    ("dolby-vision", "dvh1", [], "dvh1"),
    ("encrypted", "encv", [box("sinf", box("frma", b"avc1")), avcc()], "avc1.64001f"),
    ("encrypted-without-its-format", "encv", [avcc()], "encv"),
    ("not-printable", "\x1b[2J", [], ".[2J"),
]
SOUND = [
    ("aac-lc-of-ffmpeg", "mp4a", [esds(AAC)], "mp4a.40.2"),
    ("aac-he", "mp4a", [esds(es_descriptor(0, b"", decoder_config(0x40, specific(b"\x2b\x92"))))], "mp4a.40.5"),
    ("usac-escaped", "mp4a", [esds(es_descriptor(0, b"", decoder_config(0x40, specific(b"\xf9\x40"))))], "mp4a.40.42"),
    ("mp3-in-mp4", "mp4a", [esds(es_descriptor(0, b"", decoder_config(0x6B)))], "mp4a.6b"),
    ("depends-on-a-stream", "mp4a", [esds(es_descriptor(0x80, b"\0\0", decoder_config(0x40, LC)))], "mp4a.40.2"),
    ("has-a-url", "mp4a", [esds(es_descriptor(0x40, b"\x03abc", decoder_config(0x40, LC)))], "mp4a.40.2"),
    ("has-a-clock", "mp4a", [esds(es_descriptor(0x20, b"\0\0", decoder_config(0x40, LC)))], "mp4a.40.2"),
    ("length-without-end", "mp4a", [esds(b"\x03\x80\x80\x80\x80\x80")], "mp4a"),
    ("another-descriptor", "mp4a", [esds(b"\x02\x01\x00")], "mp4a"),
    ("empty-descriptor", "mp4a", [esds(b"")], "mp4a"),
    ("without-configuration", "mp4a", [], "mp4a"),
    ("opus", "Opus", [], "Opus"),
    ("dolby", "ec-3", [box("dec3", bytes(5))], "ec-3"),
    ("encrypted", "enca", [box("sinf", box("frma", b"mp4a")), esds(AAC)], "mp4a.40.2"),
    ("quicktime-version-1", "mp4a", [bytes(16), esds(AAC)], "mp4a"),
]


@pytest.mark.parametrize(("kind", "children", "name"), [case[1:] for case in VIDEO], ids=[case[0] for case in VIDEO])
def test_the_codec_of_a_picture_is_named(kind: str, children: list[bytes], name: str) -> None:
    (track,) = parse_init(init_segment(trak(visual_entry(kind, *children)))).tracks
    assert track.codec == name


@pytest.mark.parametrize(("kind", "children", "name"), [case[1:] for case in SOUND], ids=[case[0] for case in SOUND])
def test_the_codec_of_sound_is_named(kind: str, children: list[bytes], name: str) -> None:
    (track,) = parse_init(init_segment(trak(audio_entry(kind, *children), handler="soun"))).tracks
    assert track.codec == name


def test_the_codec_of_text_is_the_type_of_its_entry() -> None:
    (track,) = parse_init(init_segment(trak(box("stpp", b"http://www.w3.org/ns/ttml\0"), handler="subt"))).tracks
    assert (track.codec, track.width, track.height) == ("stpp", None, None)
