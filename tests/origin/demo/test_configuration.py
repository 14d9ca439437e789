"""The file that the demo writes is a good one, and known again."""

from pathlib import Path

import pytest

from config.load import load_settings
from config.model import Address
from origin.demo import media
from origin.demo.configuration import FILE_NAME, LISTEN_OVERRIDES, configuration_text, is_ours

START_MS = 1_795_370_400_500


@pytest.mark.parametrize("name", ["plain", "with space", 'quo"te', "back\\slash", "colon: # hash", "größe", "{brace}"])
def test_it_can_be_loaded_whatever_the_folder_is_called(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    path = folder / FILE_NAME
    path.write_text(configuration_text(folder, START_MS), encoding="utf-8")
    settings = load_settings(path, {}, [])
    assert settings.storage.path == folder / "data"
    (event,) = settings.to_events()
    assert event.id == media.EVENT_ID
    assert event.start_ms == START_MS
    assert event.retry_deadline_ms == media.RETRY_DEADLINE_MS
    assert tuple(pipeline.id for pipeline in event.pipelines) == media.PIPELINE_IDS
    assert tuple(rendition.id for rendition in event.renditions) == media.RENDITION_IDS


def test_it_names_the_usual_ports_and_the_demo_takes_free_ones(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_text(configuration_text(tmp_path, START_MS))
    assert load_settings(path, {}, []).listen.deliver == Address("127.0.0.1", 8080)
    listen = load_settings(path, {}, LISTEN_OVERRIDES).listen
    assert {listen.publish, listen.deliver, listen.admin} == {Address("127.0.0.1", 0)}


def test_it_is_known_again_until_it_is_edited(tmp_path: Path) -> None:
    text = configuration_text(tmp_path, START_MS)
    assert is_ours(text, tmp_path)
    assert not is_ours(text, tmp_path / "other")
    assert not is_ours(text.replace("prefer_wait: 100ms", "prefer_wait: 200ms"), tmp_path)
    assert not is_ours("", tmp_path)
