import os
import stat
import sys
from pathlib import Path

import pytest

from shared.kernel.errors import SettingsInvalid
from shared.runtime.settings import Settings
from shared.runtime.settings_file import (
    home,
    load_settings,
    log_folder,
    read_settings,
    save_settings,
    settings_path,
    settings_schema,
)
from shared.runtime.settings_schema import default_file, sections

GOLDEN = Path("tests/golden/settings")


def written(folder: Path, text: str) -> Path:
    path = folder / "localrouter.yaml"
    path.write_text(text)
    return path


def problems(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    path = written(folder, text)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(folder, environ or {})
    assert path.read_text() == text, "a file with mistakes is left as it was"
    return caught.value.problems


def test_the_data_folder_is_where_the_environment_says():
    assert home({"LOCALROUTER_HOME": "/srv/router"}) == Path("/srv/router")


@pytest.mark.skipif(sys.platform != "linux", reason="each platform has a place of its own")
def test_the_data_folder_is_in_the_home_folder_by_default():
    assert home({"HOME": "/home/ada"}) == Path("/home/ada/.localrouter")


def test_logs_are_in_the_data_folder_unless_the_settings_say_otherwise(tmp_path: Path):
    assert log_folder(Settings(), tmp_path) == tmp_path / "logs"
    elsewhere = Settings.model_validate({"log": {"folder": "/var/log/localrouter"}})
    assert log_folder(elsewhere, tmp_path) == Path("/var/log/localrouter")


def test_a_missing_file_is_written_with_every_default_and_a_comment_for_each(tmp_path: Path):
    folder = tmp_path / "new" / "home"
    assert load_settings(folder, {}) == Settings()
    path = folder / "localrouter.yaml"
    lines = path.read_text().splitlines()
    for section in sections():
        for setting in section.settings:
            at = next(n for n, line in enumerate(lines) if line.startswith(f"  {setting.name}:"))
            assert lines[at - 1].lstrip().startswith("# ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_written_file_says_exactly_the_defaults(tmp_path: Path):
    written(tmp_path, default_file())
    assert load_settings(tmp_path, {}) == Settings()


def test_reading_writes_nothing(tmp_path: Path):
    assert read_settings(tmp_path, {}) == Settings()
    assert list(tmp_path.iterdir()) == []


def test_another_file_is_read_where_the_environment_names_one(tmp_path: Path):
    path = tmp_path / "other.yaml"
    path.write_text("version: 1\nserver:\n  port: 4001\n")
    environ = {"LOCALROUTER_CONFIG": str(path)}
    assert settings_path(tmp_path, environ) == path
    assert load_settings(tmp_path, environ).server.port == 4001


def test_the_environment_goes_before_the_file(tmp_path: Path):
    written(tmp_path, "version: 1\nserver:\n  port: 4001\n  host: 0.0.0.0\nlog: {folder: /x}\n")
    settings = load_settings(
        tmp_path,
        {
            "LOCALROUTER_SERVER__PORT": "4002",
            "LOCALROUTER_SERVER__ALLOWED_HOSTS": "a.example, b.example",
            "LOCALROUTER_LOG__FOLDER": "",
            "LOCALROUTER_PROVIDERS__LOCAL_MODEL": "false",
            "LOCALROUTER_NATS__PASSWORD": "hush",
        },
    )
    assert settings.server.port == 4002
    assert settings.server.host == "0.0.0.0"
    assert settings.server.allowed_hosts == ["a.example", "b.example"]
    assert settings.log.folder is None
    assert settings.providers.local_model is False
    assert settings.nats.password is not None
    assert settings.nats.password.get_secret_value() == "hush"


def test_variables_that_are_no_settings_are_left_alone(tmp_path: Path):
    names = "HOME CONFIG MASTER_KEY MASTER_KEY_FILE ADMIN_TOKEN ADMIN_TOKEN_FILE URL API_KEY PUBLISH SERVICE_TOKEN"
    environ = {f"LOCALROUTER_{name}": "x" for name in f"{names} SERVICE_TOKEN_FILE PORT_3000_TCP".split()}
    del environ["LOCALROUTER_CONFIG"]
    assert load_settings(tmp_path, environ) == Settings()


def test_every_mistake_is_named_at_once_with_its_line_and_what_is_allowed(tmp_path: Path):
    text = """\
version: 1
server:
  port: abc
  hots: here
  allowed_hosts:
    - good.example
    - 1
log: 5
providers:
  local_model: maybe
  local_model_idle_s: 0
port: 1
"""
    environ = {"LOCALROUTER_SERVER__CORS_ORIGIN": "x", "LOCALROUTER_GATEWAY__ID": "a b"}
    assert problems(tmp_path, text, environ) == [
        "LOCALROUTER_SERVER__CORS_ORIGIN: no setting has this name, did you mean LOCALROUTER_SERVER__CORS_ORIGINS?",
        'LOCALROUTER_GATEWAY__ID: gateway.id: found "a b", allowed: a text matching ^[A-Za-z0-9_-]{1,64}$',
        'localrouter.yaml:3: server.port: found "abc", allowed: an integer from 1 to 65535',
        "localrouter.yaml:4: server.hots: unknown name, did you mean host?",
        "localrouter.yaml:7: server.allowed_hosts[1]: found 1, allowed: a text",
        (
            "localrouter.yaml:8: log: found 5, allowed: a section with level, folder, terminal, max_bytes, backups,"
            " access_days"
        ),
        'localrouter.yaml:10: providers.local_model: found "maybe", allowed: true or false',
        "localrouter.yaml:11: providers.local_model_idle_s: found 0, allowed: a number above 0",
        "localrouter.yaml:12: port: unknown name, did you mean server.port?",
    ]


def test_a_secret_with_a_mistake_is_not_shown(tmp_path: Path):
    (problem,) = problems(tmp_path, "version: 1\nnats:\n  password: [hunter2]\n")
    assert "hunter2" not in problem
    assert problem.startswith("localrouter.yaml:3: nats.password: found ***")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: [1\n", "localrouter.yaml:2:1: not YAML: while parsing a flow sequence, expected ',' or ']'"),
        ("server:\n\tport: 1\n", "localrouter.yaml:2:1: not YAML: "),
        ("log: {}\nlog: {}\n", "localrouter.yaml:2:1: not YAML: while constructing a mapping, found duplicate key"),
        ("- a\n", 'localrouter.yaml:1: found ["a"], allowed: names with values'),
        ("just words\n", 'localrouter.yaml:1: found "just words", allowed: names with values'),
        ("when: 2001-99-99\n", "localrouter.yaml: not YAML: month must be in 1..12"),
        ("a: \x00\n", "localrouter.yaml: not YAML: "),
        ("version: one\n", 'localrouter.yaml:1: version: found "one", allowed: 1'),
        ("# mine\nversion: true\n", "localrouter.yaml:2: version: found true, allowed: 1"),
        ("version: 7\n", "localrouter.yaml:1: version: 7 is newer than 1, the newest that this LocalRouter knows"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(tmp_path: Path, text: str, problem: str):
    (found,) = problems(tmp_path, text)
    assert found.startswith(problem)


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path):
    (tmp_path / "localrouter.yaml").write_bytes(b"version: 1\nlog:\n  folder: \xff\xfe\n")
    with pytest.raises(SettingsInvalid, match=r"^localrouter\.yaml:3: the file is not UTF-8: byte 0xff$"):
        load_settings(tmp_path, {})


def test_a_folder_in_place_of_the_file_is_one_sentence(tmp_path: Path):
    (tmp_path / "localrouter.yaml").mkdir()
    with pytest.raises(SettingsInvalid, match=r"localrouter\.yaml: Is a directory$"):
        load_settings(tmp_path, {})


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "version: 1\nserver:\n  # port: 4000\nlog:\n"])
def test_a_file_that_says_nothing_means_the_defaults(tmp_path: Path, text: str):
    written(tmp_path, text)
    assert load_settings(tmp_path, {}) == Settings()


def test_version_0_is_migrated_and_the_old_file_kept(tmp_path: Path):
    old = (GOLDEN / "v0.yaml").read_text()
    path = written(tmp_path, old)
    settings = load_settings(tmp_path, {})
    assert (settings.server.host, settings.server.port, settings.log.level) == ("0.0.0.0", 3100, "warning")
    assert path.read_text() == (GOLDEN / "v0.migrated.yaml").read_text()
    assert path.with_name("localrouter.yaml.bak").read_text() == old
    assert load_settings(tmp_path, {}) == settings


def test_a_mistake_in_an_old_file_is_named_with_the_line_it_has_there(tmp_path: Path):
    assert problems(tmp_path, "host: x\nport: abc\n") == [
        'localrouter.yaml:2: server.port: found "abc", allowed: an integer from 1 to 65535'
    ]


def test_an_old_name_beside_its_new_one_is_reported_not_chosen(tmp_path: Path):
    assert problems(tmp_path, "port: 1\nserver:\n  port: 2\n") == [
        "localrouter.yaml:1: port: unknown name, did you mean server.port?"
    ]


def test_an_old_name_whose_section_is_no_section_is_reported(tmp_path: Path):
    first, second = problems(tmp_path, "port: 1\nserver: 5\n")
    assert first == "localrouter.yaml:1: port: unknown name, did you mean server.port?"
    assert second.startswith("localrouter.yaml:2: server: found 5, allowed: a section with host, port")


def test_changing_a_value_keeps_comments_and_the_file_before(tmp_path: Path):
    path = written(tmp_path, "version: 1  # one\n# mine\nserver:\n  port: 4000  # the door\n")
    settings = save_settings(path, {"server.port": 4001, "log.level": "debug"})
    assert (settings.server.port, settings.log.level) == (4001, "debug")
    assert path.read_text() == ("version: 1  # one\n# mine\nserver:\n  port: 4001  # the door\nlog:\n  level: debug\n")
    assert "port: 4000" in path.with_name("localrouter.yaml.bak").read_text()


def test_a_change_to_a_file_that_is_not_there_begins_with_the_defaults(tmp_path: Path):
    path = tmp_path / "localrouter.yaml"
    save_settings(path, {"server.port": 4001})
    assert path.read_text() == default_file().replace("port: 3000", "port: 4001", 1)


def test_a_default_file_is_rewritten_byte_for_byte(tmp_path: Path):
    path = written(tmp_path, default_file())
    save_settings(path, {"server.port": 3000})
    assert path.read_text() == default_file()


@pytest.mark.parametrize("name", ["server.prot", "server", "version.x", "nowhere.port"])
def test_a_change_of_an_unknown_setting_is_refused_and_nothing_written(tmp_path: Path, name: str):
    path = written(tmp_path, "version: 1\n")
    with pytest.raises(SettingsInvalid):
        save_settings(path, {name: 1})
    assert path.read_text() == "version: 1\n"


def test_a_link_stays_a_link(tmp_path: Path):
    target = tmp_path / "dotfiles.yaml"
    target.write_text("version: 1\n")
    target.chmod(0o640)
    path = tmp_path / "localrouter.yaml"
    path.symlink_to(target)
    save_settings(path, {"server.port": 4001})
    assert path.is_symlink()
    assert "4001" in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_write_that_fails_leaves_the_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = written(tmp_path, "version: 1\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SettingsInvalid, match="No space left on device"):
        save_settings(path, {"server.port": 4001})
    assert path.read_text() == "version: 1\n"
    assert {item.name for item in tmp_path.iterdir()} == {"localrouter.yaml", "localrouter.yaml.lock"}


def test_the_schema_is_json_schema_with_every_section():
    schema = settings_schema()
    assert set(schema["properties"]) == {"version", *(section.name for section in sections())}
