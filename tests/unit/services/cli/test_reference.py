from pathlib import Path

import pytest

from services.cli import reference


def test_the_committed_pages_are_fresh():
    with pytest.raises(SystemExit) as ended:
        reference.main(["--check"])
    assert ended.value.code == 0


def test_a_stale_or_missing_page_is_named_and_then_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(reference, "FOLDER", tmp_path / "reference")
    with pytest.raises(SystemExit) as ended:
        reference.main(["--check"])
    assert ended.value.code == 1
    assert "settings.md is stale" in capsys.readouterr().err
    reference.main([])
    (tmp_path / "reference" / "cli.md").write_text("old")
    reference.main([])
    with pytest.raises(SystemExit) as ended:
        reference.main(["--check"])
    assert ended.value.code == 0


def test_every_setting_and_command_has_its_line():
    settings, commands = ("\n".join(page()) for page in (reference.settings_page, reference.cli_page))
    assert "| `server.port` | `LOCALROUTER_SERVER__PORT` | `3000` | an integer from 1 to 65535 |" in settings
    assert '## `localrouter chat [MODEL] "TEXT"`' in commands
    assert "`localrouter simulate`" in commands
