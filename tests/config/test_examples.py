"""The examples work as they are, and say what they claim."""

from pathlib import Path

import pytest
import yaml

from config.load import load_settings
from config.model import EventSettings, Settings
from config.section import is_list, section_of

FOLDER = Path(__file__).parents[2] / "config" / "examples"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_example_can_be_used_as_it_is(path: Path) -> None:
    for event_made in load_settings(path, {}, ()).to_events():
        names = [rendition.media.format(7, 7) for rendition in event_made.renditions]
        assert len(set(names)) == len(names)
        assert len(event_made.pipelines) == 2


def test_examples_say_what_ffmpeg_names_its_segments() -> None:
    dash, hls = (load_settings(FOLDER / name, {}, ()) for name in ("ffmpeg-dash.yaml", "ffmpeg-hls-ts.yaml"))
    renditions = dash.to_events()[0].renditions
    assert [rendition.media.format(0, 92_160) for rendition in renditions] == [f"r{n}-t92160.m4s" for n in range(3)]
    assert [rendition.init.format(0, 0) for rendition in renditions if rendition.init] == [
        f"init-{n}.mp4" for n in range(3)
    ]
    (main,) = hls.to_events()[0].renditions
    assert (main.media.format(7, 0), main.init) == ("seg-7.ts", None)


def test_example_of_all_settings_leaves_none_of_an_origin_and_an_event_out() -> None:
    example = yaml.safe_load((FOLDER / "derby.yaml").read_text())
    (event,) = example["events"]
    for section, written in ((Settings, example), (EventSettings, event)):
        assert set(written) == set(section.fields_by_key())
        for key, field in section.fields_by_key().items():
            inner = section_of(field)
            assert inner is None or is_list(field) or set(written[key]) == set(inner.fields_by_key())
