"""What a name below an event means, for friendly names and hostile ones."""

import pytest

from selection.model import Event, Kind, SegmentKey
from selection.names import NAME_LENGTH_MAX, EventNames, ManifestName, Name
from tests.support.events import make_event, make_key, make_rendition

ARABIC_SEVEN = "\N{ARABIC-INDIC DIGIT SEVEN}"
SUPERSCRIPT_TWO = "\N{SUPERSCRIPT TWO}"


def two_rendition_event() -> Event:
    """An event with numbers for video and times for audio, and text whose names look like manifests."""
    return make_event(
        start_number=1,
        renditions=[
            make_rendition("v720"),
            make_rendition("a128", kind=Kind.AUDIO, timescale=48_000, media="$RepresentationID$/t$Time$.m4s"),
            make_rendition("sub", kind=Kind.TEXT, media="$RepresentationID$/$Number%03d$.m3u8", init=None),
        ],
    )


def manifest_of_length(length: int) -> str:
    return "m" * (length - len(".mpd")) + ".mpd"


CASES: list[tuple[str, str, Name]] = [
    ("number", "v720/7.m4s", make_key(7, "v720")),
    ("number-zero-below-start-number", "v720/0.m4s", make_key(0, "v720")),
    ("largest-number", "v720/9999999999999999999.m4s", make_key(9_999_999_999_999_999_999, "v720")),
    ("one-digit-more", "v720/10000000000000000000.m4s", None),
    ("time-zero-is-the-start-number", "a128/t0.m4s", make_key(1, "a128")),
    ("time", "a128/t96000.m4s", make_key(2, "a128")),
    ("time-one-codec-frame-early", "a128/t94976.m4s", make_key(2, "a128")),
    ("time-half-a-segment-early", "a128/t48000.m4s", make_key(2, "a128")),
    ("time-more-than-half-a-segment-early", "a128/t47999.m4s", make_key(1, "a128")),
    ("init", "v720/init.mp4", make_key(None, "v720")),
    ("init-of-another-rendition", "a128/init.mp4", make_key(None, "a128")),
    ("init-that-does-not-exist", "sub/init.mp4", None),
    ("template-that-ends-like-a-manifest", "sub/007.m3u8", make_key(7, "sub")),
    ("manifest-beside-such-a-template", "sub/7.m3u8", ManifestName("sub/7.m3u8")),
    ("dash-manifest", "live.mpd", ManifestName("live.mpd")),
    ("hls-manifest-in-a-folder", "v720/media.m3u8", ManifestName("v720/media.m3u8")),
    ("manifest-with-every-mark", "A_b-c~d@1+e=f,g.h.mpd", ManifestName("A_b-c~d@1+e=f,g.h.mpd")),
    ("manifest-of-greatest-length", manifest_of_length(NAME_LENGTH_MAX), ManifestName(manifest_of_length(512))),
    ("manifest-one-too-long", manifest_of_length(NAME_LENGTH_MAX + 1), None),
    ("very-long", "v720/" + "7" * 100_000 + ".m4s", None),
    ("empty", "", None),
    ("slash", "/", None),
    ("unknown-rendition", "v1080/7.m4s", None),
    ("unknown-suffix", "v720/7.mp4", None),
    ("other-case", "V720/7.m4s", None),
    ("leading-zero", "v720/07.m4s", None),
    ("sign", "v720/-7.m4s", None),
    ("leading-slash", "/v720/7.m4s", None),
    ("double-slash", "v720//7.m4s", None),
    ("line-feed", "v720/7.m4s\n", None),
    ("nul", "v720/7.m4s\0", None),
    ("arabic-indic-digit", f"v720/{ARABIC_SEVEN}.m4s", None),
    ("superscript-digit", f"v720/{SUPERSCRIPT_TWO}.m4s", None),
    ("arabic-indic-digit-in-a-time", f"a128/t{ARABIC_SEVEN}.m4s", None),
    ("manifest-in-parent-folder", "../x.mpd", None),
    ("manifest-in-parent-folder-inside", "a/../x.mpd", None),
    ("manifest-in-same-folder", "./x.mpd", None),
    ("manifest-from-the-root", "/x.mpd", None),
    ("manifest-with-empty-part", "a//x.mpd", None),
    ("manifest-that-is-only-a-suffix", ".mpd", None),
    ("hidden-manifest", "a/.x.m3u8", None),
    ("manifest-in-hidden-folder", ".a/x.m3u8", None),
    ("manifest-with-space", "a b.mpd", None),
    ("manifest-with-percent", "%2e%2e.mpd", None),
    ("manifest-with-backslash", "..\\x.mpd", None),
    ("manifest-with-query", "x?.mpd", None),
    ("manifest-with-nul", "x\0.mpd", None),
    ("manifest-with-line-feed", "x\n.mpd", None),
    ("manifest-with-line-feed-at-the-end", "x.mpd\n", None),
    ("manifest-with-arabic-indic-digit", f"x{ARABIC_SEVEN}.mpd", None),
    ("manifest-with-superscript-digit", f"x{SUPERSCRIPT_TWO}.mpd", None),
    ("manifest-with-letter-beyond-ascii", "\N{LATIN SMALL LETTER U WITH DIAERESIS}.mpd", None),
    ("manifest-suffix-in-other-case", "x.MPD", None),
    ("manifest-suffix-in-the-middle", "x.mpd.exe", None),
]


@pytest.mark.parametrize(("name", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_name_means_one_thing(name: str, expected: Name) -> None:
    assert EventNames(two_rendition_event()).parse(name) == expected


FORMATTED = [
    ("number", make_key(7, "v720"), "v720/7.m4s"),
    ("padded", make_key(7, "sub"), "sub/007.m3u8"),
    ("nominal-time", make_key(7, "a128"), "a128/t576000.m4s"),
    ("init", make_key(None, "a128"), "a128/init.mp4"),
    ("no-init", make_key(None, "sub"), None),
]


@pytest.mark.parametrize(("key", "name"), [case[1:] for case in FORMATTED], ids=[case[0] for case in FORMATTED])
def test_a_segment_has_one_nominal_name(key: SegmentKey, name: str | None) -> None:
    names = EventNames(two_rendition_event())
    assert names.format(key) == name
    assert name is None or names.parse(name) == key


def test_an_unknown_rendition_has_no_name() -> None:
    with pytest.raises(KeyError):
        EventNames(two_rendition_event()).format(make_key(7, "v1080"))
