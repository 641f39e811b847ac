"""shmgate.settings: what Python programs read of gateway.ini agrees with what the gateway makes of it."""
from __future__ import annotations

import sys

import pytest

from harness import BUILD

sys.path.insert(0, str(BUILD / "python"))
from shmgate.settings import read_settings  # noqa: E402


def test_settings_follow_defaults_placeholders_and_drop_ins(tmp_path, monkeypatch):
    """Topics and the broker come out filled in: [defaults], names in topics, the environment, and later files over
    earlier ones; a lane is a wildcard."""
    monkeypatch.setenv("SHMGATE_TEST_HOST", "broker.example")
    (tmp_path / "gateway.ini").write_text(
        "[mqtt]\nuri = mqtts://${env:SHMGATE_TEST_HOST}:${env:SHMGATE_TEST_UNSET:-8884}\nclient_id = me\n"
        "[defaults]\ntopic = p/{client_id}/{channel}\nbatch_max = 10\n"
        "[channel a]\ndirection = publish\n[channel b]\ndirection = publish\ntopic = b/w{lane}/$$x\nbatch_max = 1\n"
        "[channel c]\ndirection = subscribe\ntopic = $share/g/c\n")
    folder = tmp_path / "gateway.d"
    folder.mkdir()
    (folder / "20.ini").write_text(
        "[channel a]\nbatch_format = lines\n[channel d]\ndirection = publish\ntopic = second\n"
    )
    (folder / "10.ini").write_text("[channel d]\ndirection = publish\ntopic = first\n")
    (folder / ".30.ini").write_text("rubbish")
    settings = read_settings(str(tmp_path / "gateway.ini"))
    assert settings.uris == ["mqtts://broker.example:8884"]
    assert settings.publish_topics == {"a": "p/me/a", "b": "b/+/$x", "d": "second"}
    assert settings.subscribe_topics == {"c": "$share/g/c"}
    assert settings.batch_formats == {"p/me/a": "lines", "second": "frame"}


def test_placeholder_that_is_not_set_is_an_error(tmp_path, monkeypatch):
    """It is a ValueError with the file's name, not a topic with a hole in it."""
    monkeypatch.delenv("SHMGATE_TEST_UNSET", raising=False)
    (tmp_path / "gateway.ini").write_text("[mqtt]\nuri = mqtt://${env:SHMGATE_TEST_UNSET}\n")
    with pytest.raises(ValueError, match="gateway.ini.*SHMGATE_TEST_UNSET"):
        read_settings(str(tmp_path / "gateway.ini"))
