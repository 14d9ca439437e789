"""The one error of media inspection."""

import pickle

from selection.media import MediaError, MediaFault

ERROR = MediaError(MediaFault.TRUNCATED, 44, "mdat of 900 bytes, of which 12 are there")


def test_an_error_tells_what_is_wrong_and_where() -> None:
    assert str(ERROR) == "truncated at byte 44: mdat of 900 bytes, of which 12 are there"


def test_an_error_survives_the_way_from_another_process() -> None:
    copy = pickle.loads(pickle.dumps(ERROR))
    assert (copy.reason, copy.offset, copy.detail) == (ERROR.reason, ERROR.offset, ERROR.detail)
    assert copy.reason is MediaFault.TRUNCATED
