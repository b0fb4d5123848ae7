"""Asks the service in this container whether it can do its job: ``python -m shared.runtime.healthcheck``."""

import http.client
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PORTS: Final = {"gateway": 3000, "router": 3001, "providers": 3002, "metrics": 3003}
_LIMIT_S: Final = 4.0


def main(environ: Mapping[str, str]) -> int:
    """Ask the service named by ``SERVICE``; prints why not, and returns the exit code that Docker wants."""
    connection = http.client.HTTPConnection("127.0.0.1", PORTS[environ["SERVICE"]], timeout=_LIMIT_S)
    try:
        connection.request("GET", "/readyz", headers=_authorization(environ))
        answer = connection.getresponse()
        text = answer.read(4096).decode(errors="replace")
    except OSError as error:
        text, ready = f"no answer: {error}", False
    else:
        ready = answer.status == 200
    sys.stdout.write(f"{text}\n")
    return 0 if ready else 1


def _authorization(environ: Mapping[str, str]) -> dict[str, str]:
    file = environ.get("LOCALROUTER_SERVICE_TOKEN_FILE")
    return {"Authorization": f"Bearer {Path(file).read_text().strip()}"} if file else {}


if __name__ == "__main__":
    sys.exit(main(os.environ))
