"""The ffmpeg command, read as ffmpeg would."""

import pytest

from origin.demo import media
from origin.demo.encoder import packager_arguments, probe_arguments

NUMBER = 935_091_190
PUSH_URL = "http://127.0.0.1:9/demo/a/"


def _value(arguments: list[str], option: str) -> str:
    assert arguments.count(option) == 1
    return arguments[arguments.index(option) + 1]


@pytest.fixture
def arguments() -> list[str]:
    return packager_arguments("a", NUMBER, PUSH_URL, with_text=True)


def test_time_stamps_begin_on_the_grid_line_of_the_first_number(arguments: list[str]) -> None:
    begin_s = "1795375084.800"
    assert media.start_ms(NUMBER) == 1_795_375_084_800
    assert _value(arguments, "-output_ts_offset") == begin_s
    graph = _value(arguments, "-filter_complex")
    assert graph.index(f"setpts=PTS+{begin_s}/TB") < graph.index("geq=") < graph.index(f"setpts=PTS-{begin_s}/TB")


def test_fragments_keep_absolute_time_and_the_number(arguments: list[str]) -> None:
    assert _value(arguments, "-format_options") == f"movflags=+frag_discont:fragment_index={NUMBER}"


def test_names_are_those_of_the_configuration(arguments: list[str]) -> None:
    for track in media.TRACKS:
        index = str(track.index)
        assert _value(arguments, "-media_seg_name").replace("$RepresentationID$", index) == track.media_template
        assert _value(arguments, "-init_seg_name").replace("$RepresentationID$", index) == track.init_name
    assert arguments[-1] == PUSH_URL + "live.mpd"


def test_key_frames_fall_on_the_grid_only(arguments: list[str]) -> None:
    assert _value(arguments, "-g") == _value(arguments, "-keyint_min") == "48"
    assert _value(arguments, "-sc_threshold") == "0"
    assert _value(arguments, "-force_key_frames") == "expr:gte(t,n_forced*1.92)"
    assert _value(arguments, "-seg_duration") == "1.92"


def test_it_keeps_the_pace_by_filters_and_not_by_a_burst(arguments: list[str]) -> None:
    graph = _value(arguments, "-filter_complex")
    assert graph.startswith("[0:v]realtime,")
    assert "[1:a]arealtime" in graph
    assert "-re" not in arguments


def test_the_picture_tells_the_pipeline_and_without_a_font_its_colour_does() -> None:
    graphs = {
        (pipeline_id, with_text): _value(
            packager_arguments(pipeline_id, NUMBER, PUSH_URL, with_text=with_text), "-filter_complex"
        )
        for pipeline_id in media.PIPELINE_IDS
        for with_text in (True, False)
    }
    assert "drawtext=text='b'" in graphs["b", True]
    assert "drawtext" not in graphs["a", False]
    assert graphs["a", False] != graphs["b", False]


@pytest.mark.parametrize("with_text", [True, False])
def test_the_probe_makes_the_same_and_sends_it_nowhere(with_text: bool) -> None:
    probe = probe_arguments(with_text=with_text)
    packager = packager_arguments("a", NUMBER, PUSH_URL, with_text=with_text)
    for option in ("-c:v", "-c:a", "-preset"):
        assert _value(probe, option) == _value(packager, option)
    assert ("drawtext" in _value(probe, "-filter_complex")) == with_text
    assert "realtime" not in _value(probe, "-filter_complex")
    assert probe[-3:] == ["-f", "null", "-"]
    assert not any("http" in word for word in probe)
