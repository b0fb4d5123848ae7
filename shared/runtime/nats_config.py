"""The configuration file of nats-server, with a user per service."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from shared.runtime.nats_users import SYSTEM, publish_rights, subscribe_rights

KEY_VARIABLE: Final = "LR_JS_KEY"
"""Environment variable that hands the store key to nats-server: it stands in no file and in no argument."""

MAX_PAYLOAD: Final = 8 * 1024 * 1024
"""Bytes of one message: a catalog of thousands of models fits."""

_LOG: Final = """\
log_file: {path}
logfile_size_limit: 1048576
logfile_max_num: 2
"""


def render(
    *,
    port: int,
    store: Path,
    log_file: Path | None,
    max_store_bytes: int,
    passwords: Mapping[str, str],
    host: str = "127.0.0.1",
    monitor_port: int | None = None,
) -> str:
    """Return the configuration; ``sync_interval: always`` is what makes an acknowledged write survive a power cut.

    ``log_file`` None: it says everything on its terminal. ``monitor_port``: where it answers health checks, on
    loopback. https://docs.nats.io/running-a-nats-service/configuration
    """
    log = "" if log_file is None else _LOG.format(path=_quoted(str(log_file)))
    monitor = "" if monitor_port is None else f'http: "127.0.0.1:{monitor_port}"\n'
    users = "\n".join(_user(name, passwords[name]) for name in passwords if name != SYSTEM)
    return f"""\
server_name: localrouter
host: {_quoted(host)}
port: {port}
max_payload: {MAX_PAYLOAD}
{log}{monitor}jetstream {{
  store_dir: {_quoted(str(store))}
  sync_interval: always
  cipher: chacha
  key: ${KEY_VARIABLE}
  max_file: {max_store_bytes}
  max_mem: 67108864
}}
accounts {{
  SYS {{ users: [{{ user: {SYSTEM}, password: {_quoted(passwords[SYSTEM])} }}] }}
  LOCALROUTER {{
    jetstream: enabled
    users: [
{users}
    ]
  }}
}}
system_account: SYS
"""


def _user(name: str, password: str) -> str:
    publish, subscribe = _list(publish_rights(name)), _list(subscribe_rights(name))
    return (
        f"      {{ user: {name}, password: {_quoted(password)},"
        f" permissions: {{ publish: {{ allow: {publish} }}, subscribe: {{ allow: {subscribe} }} }} }}"
    )


def _list(items: Sequence[str]) -> str:
    return f"[{', '.join(_quoted(item) for item in items)}]"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
