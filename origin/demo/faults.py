"""Which segments vanish on their way. Pure: the same numbers in every run, whoever asks."""

import hashlib


def is_dropped(pipeline_id: str, number: int, percent: int) -> bool:
    """Tell whether a pipeline's copies of segment `number` are lost, those of all its renditions alike.

    By hash and not by chance, so that a run can be told about afterwards; and by pipeline, so that two
    pipelines with the same share lose different segments.

    >>> [number for number in range(10) if is_dropped("a", number, 30)]
    [3, 4, 7]
    """
    digest = hashlib.sha256(f"{pipeline_id} {number}".encode()).digest()
    return int.from_bytes(digest[:4]) % 100 < percent
