"""The ffmpeg command of an epoch-locked packager. Pure: numbers in, arguments out.

What makes two of them interchangeable, all measured with ffmpeg 5.1 and 9.0:

- both begin on a grid line, and `-output_ts_offset` puts that line's time into every timestamp;
- `frag_discont` keeps that time in tfdt, where the offset would else go into the init segment's edit list;
- the DASH muxer cannot start at a number, so names carry `$Time$`; `fragment_index` sets mfhd to the number;
- bitexact flags make the init segments byte-identical;
- key frames fall on the grid only, and the picture depends on nothing but the time.

The pace comes from the `realtime` filters and not from `-re`: newer versions begin `-re` with a burst of half
a second, so that segments would be there before their media has ended.
"""

from typing import Final

from origin.demo import media
from origin.demo.media import TRACKS

# Each pipeline has its own colour, so that a viewer sees a switch even where no font was found.
_HUES: Final = {"a": (150, 100), "b": (95, 155)}
_SEGMENT_S: Final = f"{media.SEGMENT_MS / 1000:g}"
_SOUND: Final = "aevalsrc=0.1*sin(2*PI*625*t):s=48000"
# A gradient needs few pixels: it is drawn small and enlarged, which takes a tenth of the time.
_CANVAS: Final = f"color=c=gray:size=64x36:rate={media.FRAMES_PER_SECOND}"


def packager_arguments(pipeline_id: str, first_number: int, push_url: str, *, with_text: bool) -> list[str]:
    """Return ffmpeg's arguments, without its own name; to be started when segment `first_number` begins.

    Args:
        push_url: Where names are put below, ending in a slash.
        with_text: Whether the pipeline's name, the clock and the number are drawn; needs a font.
    """
    begin_s = seconds_text(media.start_ms(first_number))
    return [
        *("-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning"),
        *_sources(),
        *("-filter_complex", _graph(pipeline_id, begin_s, with_text=with_text, paced=True)),
        *_encoders(),
        *("-output_ts_offset", begin_s),
        *("-f", "dash", "-method", "PUT", "-seg_duration", _SEGMENT_S),
        *("-use_timeline", "1", "-window_size", "10", "-hls_playlist", "1"),
        *("-adaptation_sets", "id=0,streams=0,1 id=1,streams=2"),
        *("-format_options", f"movflags=+frag_discont:fragment_index={first_number}"),
        *("-init_seg_name", "init-$RepresentationID$.mp4"),
        *("-media_seg_name", "r$RepresentationID$-t$Time$.m4s"),
        push_url + media.DASH_NAME,
    ]


def probe_arguments(*, with_text: bool) -> list[str]:
    """Return the arguments of a run that makes one frame of the same and keeps nothing: it fails if anything lacks."""
    return [
        *("-hide_banner", "-nostdin", "-nostats", "-loglevel", "error"),
        *_sources(),
        *("-filter_complex", _graph(media.PIPELINE_IDS[0], "0.000", with_text=with_text, paced=False)),
        *_encoders(),
        *("-t", "0.04", "-f", "null", "-"),
    ]


def seconds_text(time_ms: int) -> str:
    """Return ms as seconds, exactly.

    >>> seconds_text(1_795_375_086_720)
    '1795375086.720'
    """
    return f"{time_ms // 1000}.{time_ms % 1000:03d}"


def _sources() -> list[str]:
    return ["-f", "lavfi", "-i", _CANVAS, "-f", "lavfi", "-i", _SOUND]


def _encoders() -> list[str]:
    rates = [
        word for track in TRACKS if track.kind == "video" for word in (f"-b:v:{track.index}", str(track.bandwidth))
    ]
    frames = str(media.FRAMES_PER_SEGMENT)
    return [
        *("-map", "[v0]", "-map", "[v1]", "-map", "[sound]"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-bf", "0", *rates),
        *("-g", frames, "-keyint_min", frames, "-sc_threshold", "0"),
        *("-force_key_frames", f"expr:gte(t,n_forced*{_SEGMENT_S})"),
        *("-c:a", "aac", "-b:a", str(TRACKS[2].bandwidth)),
        *("-flags", "+bitexact", "-fflags", "+bitexact"),
    ]


def _graph(pipeline_id: str, begin_s: str, *, with_text: bool, paced: bool) -> str:
    """Return the filters: pace, absolute time, gradient, text, relative time again, two sizes."""
    large, small = TRACKS[0], TRACKS[1]
    cb, cr = _HUES[pipeline_id]
    gradient = (
        f"geq=lum='110+70*sin(2*PI*(X/W+Y/H/2-T/4))':cb='{cb}+30*sin(2*PI*(Y/H+T/7))':cr='{cr}+30*sin(2*PI*(X/W-T/5))'"
    )
    video = [
        *(["realtime"] if paced else []),
        f"setpts=PTS+{begin_s}/TB",
        gradient,
        f"scale={large.width}:{large.height}:flags=bilinear",
        *(_texts(pipeline_id) if with_text else []),
        f"setpts=PTS-{begin_s}/TB",
        "format=yuv420p",
        "split[v0][copy]",
    ]
    sound = "arealtime" if paced else "anull"
    return f"[0:v]{','.join(video)};[copy]scale={small.width}:{small.height}:flags=bilinear[v1];[1:a]{sound}[sound]"


def _texts(pipeline_id: str) -> list[str]:
    """Return the filters that draw the pipeline's name, the media time (UTC) and the segment number."""
    style = "fontcolor=white:shadowcolor=black@0.6:shadowx=2:shadowy=2"
    clock = r"%{pts\:gmtime} UTC"
    # The frame in the middle of a tick decides, so that rounding of times cannot show the number before.
    number = rf"segment %{{eif\:trunc((t+0.02)/{_SEGMENT_S})\:d}}"
    return [
        f"drawtext=text='{pipeline_id}':fontsize=150:x=40:y=40:{style}",
        f"drawtext=text='{clock}':fontsize=34:x=40:y=h-120:{style}",
        f"drawtext=text='{number}':fontsize=34:x=40:y=h-70:{style}",
    ]
