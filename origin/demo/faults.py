"""Which segments suffer on their way. Pure: the same numbers in every run, whoever asks."""

import hashlib
from typing import Final

# The share is kept within so few numbers, so that it shows within seconds. What is left to the hash is which ones.
BLOCK: Final = 4


def is_dropped(pipeline_id: str, number: int, percent: int) -> bool:
    """Tell whether a pipeline's copies of segment `number` are lost, those of all its renditions alike.

    By hash and not by chance, so that a run can be told about afterwards; and by pipeline, so that two
    pipelines with the same share lose different segments.

    >>> [number for number in range(20) if is_dropped("a", number, 30)]
    [1, 5, 9, 15, 16, 18]
    """
    return _is_hit(pipeline_id, number, percent)


def is_garbled(pipeline_id: str, number: int, percent: int) -> bool:
    """Tell whether a pipeline's copies of segment `number` arrive as garbage; others than those that are lost.

    >>> [number for number in range(20) if is_garbled("a", number, 30)]
    [3, 4, 11, 15, 17, 19]
    """
    return _is_hit(f"{pipeline_id} garbage", number, percent)


def _is_hit(salt: str, number: int, percent: int) -> bool:
    block = number // BLOCK
    # Rounds the running total down, so that any share comes out right in the long run.
    count = (block + 1) * BLOCK * percent // 100 - block * BLOCK * percent // 100
    in_order = sorted(range(block * BLOCK, (block + 1) * BLOCK), key=lambda each: _hash(salt, each))
    return number in in_order[:count]


def _hash(salt: str, number: int) -> bytes:
    return hashlib.sha256(f"{salt} {number}".encode()).digest()
