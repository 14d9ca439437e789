"""Response headers, rendered from values: life times, validators, CMSD, purge tags, media types."""

from email.utils import formatdate
from typing import Final

from selection.cache_policy import CachePolicy
from selection.model import Candidate, Choice, Defect, Event, Kind, Rendition, SegmentKey
from storage.records import Manifest

# Vendors purge by tag; a block of 32 segments (about a minute) is fine enough to name and coarse enough to list.
NUMBERS_PER_TAG: Final = 32

_MEDIA_TYPES: Final = {
    "m4s": "video/iso.segment",
    "mp4": "video/mp4",
    "cmfv": "video/mp4",
    "cmfa": "audio/mp4",
    "cmft": "application/mp4",
    "cmfm": "application/mp4",
    "m4v": "video/mp4",
    "m4a": "audio/mp4",
    "init": "video/mp4",
    "header": "video/mp4",
    "ts": "video/mp2t",
    "aac": "audio/aac",
    "vtt": "text/vtt",
    "mpd": "application/dash+xml",
    "m3u8": "application/vnd.apple.mpegurl",
}
_CMSD_KINDS: Final = {Kind.VIDEO: "v", Kind.AUDIO: "a", Kind.MUXED: "av", Kind.TEXT: "c"}


def media_type(name: str, kind: Kind | None = None) -> str:
    """Return the Content-Type of a name. By extension, as packagers send no type or `application/octet-stream`.

    Source: DASH-IF Live Media Ingest 1.2, table 6; measured on ffmpeg 5.1 and shaka-packager 3.8.
    """
    found = _MEDIA_TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")
    if kind is Kind.AUDIO and found.startswith("video/mp4"):
        return "audio/mp4"
    return found


def life_time(policy: CachePolicy) -> dict[str, str]:
    """Return Cache-Control, and the same life time in ms for caches that can use it.

    Whole seconds are rounded down, but never to 0: a cache does not collapse requests for an answer it may not keep
    (measured on nginx, Varnish and Traffic Server). An answer that must not outlive its life time gets one second
    less, as nginx and Traffic Server keep it up to one longer; CDNs, which count from Age and Date, get the exact
    seconds as CDN-Cache-Control (RFC 9213). Rejected: `s-maxage`, which nginx and CDNs read alike; X-Accel-Expires
    with an absolute time, which only nginx reads, and holds against its own wall clock.
    """
    exact = max(policy.ttl_ms // 1000, 1)
    seconds = max(exact - 1, 1) if policy.must_not_outlive else exact
    immutable = ", immutable" if policy.immutable else ""
    stale = f"stale-while-revalidate={policy.stale_ms // 1000}"
    if_error = f", stale-if-error={policy.stale_if_error_ms // 1000}" if policy.stale_if_error_ms else ""
    fields = {
        "Cache-Control": f"public, max-age={seconds}{immutable}, {stale}{if_error}",
        "Live-Origin-TTL": f"{policy.ttl_ms}ms",
    }
    if seconds != exact:
        fields["CDN-Cache-Control"] = f"max-age={exact}, {stale}"
    return fields


def http_date(at_s: int) -> str:
    """Return seconds since 1970 as an HTTP date."""
    return formatdate(at_s, usegmt=True)


def etag(digest: str) -> str:
    """Return a strong entity tag."""
    return f'"{digest}"'


def defects_field(defects: tuple[Defect, ...]) -> str:
    """Return defects as a structured-field list (RFC 9651), the form packagers send them in.

    >>> defects_field((Defect("short", (("missing_ms", 120),)), Defect("slate")))
    'short;missing_ms=120, slate'
    """
    return ", ".join(
        defect.name + "".join(f";{name}={_bare_item(value)}" for name, value in defect.parameters) for defect in defects
    )


def choice_field(choice: Choice) -> str:
    """Return a choice as a structured-field list (RFC 9651): who won by which rule, and why each other lost.

    >>> from selection.model import Loss, Rule
    >>> choice_field(Choice(Candidate("a", "", 0, 0, 0, 0), Rule.FIRST_IN_ORDER, 0, (("b", Loss.ORDER),)))
    'a;rule=first-in-order, b;lost=order'
    """
    members = [f"{_key_item(choice.candidate.pipeline_id)};rule={choice.rule}"]
    return ", ".join([*members, *(f"{_key_item(pipeline_id)};lost={loss}" for pipeline_id, loss in choice.losses)])


def _key_item(identifier: str) -> str:
    """Return an id as a token, or as a string if it begins with a digit, as no token may.

    >>> _key_item("a"), _key_item("1a")
    ('a', '"1a"')
    """
    return f'"{identifier}"' if identifier[:1].isdigit() else identifier


def _bare_item(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "?1" if value else "?0"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def segment_headers(event: Event, key: SegmentKey, choice: Choice) -> dict[str, str]:
    """Return what every answer about a chosen segment carries, whatever part of it is sent."""
    candidate, rendition = choice.candidate, event.rendition(key.rendition_id)
    pipeline = event.pipeline(candidate.pipeline_id)
    region = pipeline.region if pipeline is not None else ""
    fields = {
        "ETag": etag(candidate.digest),
        "Last-Modified": http_date(candidate.published_ms // 1000),
        "Accept-Ranges": "bytes",
        "Live-Origin-Pipeline": candidate.pipeline_id,
        "Live-Origin-Region": region,
        "Live-Origin-Choice": choice_field(choice),
        "CMSD-Static": cmsd_static(event, rendition, key, candidate),
    }
    tags = purge_tags(key, candidate.pipeline_id, region)
    fields["Cache-Tag"] = ",".join(tags)
    fields["Surrogate-Key"] = " ".join(tags)
    if candidate.score is not None:
        fields["Live-Origin-Score"] = str(candidate.score)
    if candidate.defects:
        fields["Live-Origin-Defects"] = defects_field(candidate.defects)
    if not key.is_init and candidate.facts is not None and candidate.facts.init_digest is not None:
        fields["Live-Origin-Init"] = etag(candidate.facts.init_digest)
    return fields


def manifest_headers(name: str, manifest: Manifest) -> dict[str, str]:
    """Return what every answer about a packager's manifest carries."""
    return {
        "Content-Type": media_type(name),
        "ETag": etag(manifest.digest),
        "Last-Modified": http_date(manifest.published_ms // 1000),
        "Accept-Ranges": "bytes",
        "Live-Origin-Pipeline": manifest.pipeline_id,
        "CMSD-Static": f'ot=m,st=l,at={manifest.published_ms},n="live-origin"',
    }


def cmsd_static(event: Event, rendition: Rendition, key: SegmentKey, candidate: Candidate) -> str:
    """Return CMSD-Static (CTA-5006): availability, bit rate in kbps, duration in ms, object type, stream type."""
    if key.number is None:
        return f'ot=i,st=l,at={candidate.published_ms},n="live-origin"'
    return (
        f"ot={_CMSD_KINDS[rendition.kind]},st=l,at={candidate.published_ms},br={rendition.bandwidth // 1000},"
        f'd={event.timeline.duration_ms},n="live-origin"'
    )


def purge_tags(key: SegmentKey, pipeline_id: str, region: str) -> list[str]:
    """Return the tags by which any CDN can purge: event, rendition, pipeline, region, block of numbers."""
    event_id, rendition_id, number = key
    tags = [event_id, f"{event_id}/{rendition_id}", f"{event_id}/pipeline/{pipeline_id}", f"{event_id}/region/{region}"]
    if number is not None:
        tags.append(f"{event_id}/block/{number // NUMBERS_PER_TAG * NUMBERS_PER_TAG}")
    return tags
