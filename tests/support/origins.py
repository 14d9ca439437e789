"""Real origins on real sockets, for tests that talk HTTP to them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from config.load import load_settings
from config.model import Settings
from origin.app import Origin
from origin.clock import Clock

SEGMENT_MS = 1920

EVENT: dict[str, Any] = {
    "id": "derby",
    "segment_duration": "1920ms",
    "media": "$RepresentationID$/$Number$.m4s",
    "init": "$RepresentationID$/init.mp4",
    "renditions": [
        {"id": "v720", "kind": "video", "bandwidth": 3_000_000, "codecs": "avc1.64001f", "width": 1280, "height": 720},
        {"id": "a128", "kind": "audio", "timescale": 48_000, "bandwidth": 128_000, "codecs": "mp4a.40.2"},
    ],
    "pipelines": [{"id": "a", "region": "us-east-1"}, {"id": "b", "region": "us-west-2"}],
}

# Tests share two cores: how late an event loop or a disk is must not decide what they see.
PATIENT: dict[str, Any] = {"loop_lag": "10s", "read_time": "10s"}


def make_settings(folder: Path, *, event: dict[str, Any] | None = None, **sections: Any) -> Settings:
    """Return settings of an origin with one event, on free ports of loopback, with its data below `folder`.

    Args:
        event: Keys of the event that differ from `EVENT`.
        sections: Top-level sections, as in a file.
    """
    document: dict[str, Any] = {
        "listen": dict.fromkeys(("publish", "deliver", "admin"), "127.0.0.1:0"),
        "storage": {"path": str(folder / "data"), "ram": "64MiB", "ssd": "1GiB"},
        "events": [EVENT | (event or {})],
    } | sections
    document["limits"] = PATIENT | document.get("limits", {})
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(document))
    return load_settings(path, {}, ())


@dataclass(frozen=True)
class Running:
    """A started origin and its base URLs, without a slash at the end."""

    origin: Origin
    publish: str
    deliver: str
    admin: str


def journal_text(folder: Path) -> str:
    """Return all lines of the journal below the folder of an origin."""
    return "".join(path.read_text("ascii") for path in sorted((folder / "journal").glob("*.log")))


@asynccontextmanager
async def running_origin(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Running]:
    """Start an origin in this process, and stop it whatever happens."""
    origin = Origin(settings, clock)
    await origin.start()
    try:
        yield Running(origin, _url(origin.publish_address), _url(origin.deliver_address), _url(origin.admin_address))
    finally:
        await origin.stop()


def _url(address: tuple[str, int]) -> str:
    return f"http://{address[0]}:{address[1]}"
