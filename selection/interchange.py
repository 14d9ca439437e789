"""Tells whether segments of one CMAF rendition can be played behind the init segment of another.

Copies of a segment are interchangeable only if a decoder that was set up for one can go on with the other: a player
loads one init segment and gets segments of all pipelines.

Source: ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1 (with `avc1` and `hvc1`, parameter sets are in the init segment alone);
RFC 6381 (names of codecs); ISO/IEC 23000-19, 7.3.4 (what CMAF tracks of one switching set have in common).
"""

from typing import Final

from selection.cmaf import parse_segment
from selection.init_segment import Init, Track
from selection.media import Body, MediaError

# Their setup holds all that is behind the dot in their names, and more.
_TOLD_BY_SETUP: Final = frozenset({"avc1", "hvc1", "mp4a"})


def breaks(own: Init, reference: Init) -> str | None:
    """Return the first thing in which a decoder set up with `reference` cannot play segments made for `own`.

    Sample defaults (`trex`) are not compared: whether a segment relies on them is told by reading it with both.
    Only the first sample entry of a track is.

    Returns:
        A token, or None if segments can be played:

        - `track`: an id that `reference` does not have, or has for something else.
        - `codec`: another one, or the same with another profile or level where the setup does not tell more exactly.
        - `timescale`: times would be taken for others.
        - `picture-size`
        - `encryption`: another scheme, key or vector, or only one of them is encrypted.
        - `setup`: other parameter sets, another audio configuration.
        - `edit-list`: the same composition time would be shown at another moment.

    >>> video = Track(1, "vide", 12_800, "avc1.64001f", 1280, 720, setup=b"\\x03 sets")
    >>> sound = Track(2, "soun", 48_000, "mp4a.40.2")
    >>> breaks(Init((), (video,)), Init((), (video, sound)))
    >>> breaks(Init((), (video, sound)), Init((), (video,)))
    'track'
    """
    for track in own.tracks:
        found = reference.track(track.track_id)
        if found is None or found.handler != track.handler:
            return "track"
        if broken := _breaks_track(track, found):
            return broken
    return None


def reads_alike(body: Body, own: Init, reference: Init) -> bool:
    """Tell whether a segment made for `own` says the same when it is read with `reference`.

    A segment may leave durations, sizes and flags of its samples to its init segment (`trex`), and `reference` may tell
    others. Where they are told in the segment itself, as most packagers do, that does no harm.
    """
    try:
        tracks = [parse_segment(body, init).tracks for init in (own, reference)]
    except MediaError:
        return False
    one, other = ([track._replace(track=None) for track in each] for each in tracks)
    return one == other


def _breaks_track(own: Track, reference: Track) -> str | None:
    if _compared_name(own.codec) != _compared_name(reference.codec):
        return "codec"
    if own.timescale != reference.timescale:
        return "timescale"
    if (own.width, own.height) != (reference.width, reference.height):
        return "picture-size"
    if own.protection != reference.protection:
        return "encryption"
    if own.setup != reference.setup:
        return "setup"
    # ffmpeg writes an edit that begins at 0 where shaka-packager writes none.
    if (own.edit_media_time or 0) != (reference.edit_media_time or 0):
        return "edit-list"
    return None


def _compared_name(codec: str) -> str:
    kind = codec.partition(".")[0]
    return kind if kind in _TOLD_BY_SETUP else codec
