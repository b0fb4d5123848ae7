"""The embedded nats-server alone, with its users, for services in processes of their own.

``python -m tests.support.nats_host HOME`` prints ``{"url", "users"}`` and stays until it is ended.
``--empty``: it makes no streams.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from services.embedded.nats_server import NatsServer
from shared.runtime.bootstrap import bootstrap_log
from shared.runtime.master_key import load_master_key


async def main(home: Path, *, empty: bool) -> None:
    async with NatsServer(home, load_master_key(home, os.environ)) as server:
        if not empty:
            await bootstrap_log(server.url, user="bootstrap", password=server.users["bootstrap"])
        print(json.dumps({"url": server.url, "users": server.users}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), empty="--empty" in sys.argv))
