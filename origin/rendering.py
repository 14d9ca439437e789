"""The head of an answer as bytes, for whoever writes to a connection without aiohttp's response objects."""

from origin.kept_head import joined, render_fields
from origin.reply import Reply


def http_head(reply: Reply, *, is_version_10: bool, must_close: bool) -> bytes:
    """Return an answer up to and including the empty line: status, fields, length (RFC 9112, 4, 6.3 and 9.3).

    Args:
        is_version_10: The request was HTTP/1.0, where connections end unless both sides say otherwise.
        must_close: The connection ends after this answer.
    """
    kept = reply.head
    if kept is None:
        headers = reply.headers
        if "Content-Length" not in headers and reply.status not in (204, 304):
            headers = {**headers, "Content-Length": str(len(reply.body))}
        fields = render_fields(headers)
    elif is_version_10 or must_close:
        fields = kept.fields
    else:
        return kept.now()
    if must_close:
        end = b"\r\n" if is_version_10 else b"Connection: close\r\n\r\n"
    else:
        end = b"Connection: keep-alive\r\n\r\n" if is_version_10 else b"\r\n"
    return joined(0 if is_version_10 else 1, reply.status, fields, end)
