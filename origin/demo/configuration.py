"""The demo's configuration file, written to be read, edited and used with `live-origin serve`."""

import json
from pathlib import Path
from typing import Final

from config.units import format_timestamp
from origin.demo import media
from origin.demo.media import TRACKS, Track

FILE_NAME: Final = "live-origin.yaml"
# The file names the usual ports, for whoever serves with it later; the demo itself takes free ones.
LISTEN_OVERRIDES: Final = tuple(f"listen.{server}=127.0.0.1:0" for server in ("publish", "deliver", "admin"))

_HEAD = """\
# Written by `live-origin demo`. Use it again, as it is or edited:
#
#     live-origin check {path}
#     live-origin serve --config {path}
#
# The demo overrides the ports below with free ones. All settings: `live-origin settings`.

listen:
  publish: 127.0.0.1:8081        # packagers PUT http://127.0.0.1:8081/{event}/PIPELINE/NAME
  deliver: 127.0.0.1:8080        # caches GET http://127.0.0.1:8080/{event}/NAME
  admin: 127.0.0.1:8082          # /metrics, /healthz, /readyz

storage:
  path: {data}
  ram: 128MiB                    # segments kept in memory
  ssd: 1GiB                      # segments kept on disk

limits:
  segment_bytes: 8MiB
  hold: 8s                       # a request for a segment about to appear waits this long at most

events:
  - id: {event}
    # Epoch-locked: segment n begins n * 1.92 s after the epoch, whoever cuts it. 1.92 s are 48 video frames
    # at 25/s and 90 AAC frames at 48 kHz.
    epoch: 1970-01-01T00:00:00Z
    start: {start}    # nothing before it exists; before this, the packagers were silent
    segment_duration: {segment_ms}ms
    publish_delay: {publish_delay_ms}ms        # a segment is due this long after its media has ended
    retry_deadline: {retry_deadline_ms}ms       # and is given up this long after that, if nobody published it
    dvr_window: 10m
    retention: 1m
    selection:
      prefer_wait: 100ms         # how long a good copy of b waits for a's
      grace: 500ms               # how long after due the least flawed copy is taken
    # The names are those of ffmpeg's DASH muxer, which numbers its renditions and names segments by time.
    renditions:
"""
_PIPELINES_KEY = "    pipelines:                   # in selection order: of equal copies a's is taken\n"


def configuration_text(folder: Path, start_ms: int) -> str:
    """Return the file for a demo that keeps its data in `folder` (an absolute path) and begins at `start_ms`."""
    head = _HEAD.format(
        path=folder / FILE_NAME,
        data=json.dumps(str(folder / "data")),  # a JSON text is YAML whatever the folder is called
        event=media.EVENT_ID,
        start=format_timestamp(start_ms),
        segment_ms=media.SEGMENT_MS,
        publish_delay_ms=media.PUBLISH_DELAY_MS,
        retry_deadline_ms=media.RETRY_DEADLINE_MS,
    )
    renditions = "".join(_rendition(track) for track in TRACKS)
    pipelines = "".join(
        f"      - {{id: {pipeline_id}, region: {media.REGIONS[pipeline_id]}}}\n" for pipeline_id in media.PIPELINE_IDS
    )
    return f"{head}{renditions}{_PIPELINES_KEY}{pipelines}"


def is_ours(text: str, folder: Path) -> bool:
    """Tell whether a file was written by a demo in `folder` and not edited since; each demo has its own start."""
    return _without_start(text) == _without_start(configuration_text(folder, start_ms=0))


def _without_start(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("    start: ")]


def _rendition(track: Track) -> str:
    size = f"        width: {track.width}\n        height: {track.height}\n" if track.width else ""
    return (
        f"      - id: {track.rendition_id}\n"
        f"        kind: {track.kind}\n"
        f"        timescale: {track.timescale}\n"
        f"        bandwidth: {track.bandwidth}\n"
        f"        codecs: {track.codecs}\n"
        f"{size}"
        f"        media: {track.media_template}\n"
        f"        init: {track.init_name}\n"
    )
