"""A process that wants a sign-in's access token many times at once: ``python -m tests.support.oauth_caller COUNT``.

It says when it is there, waits for a line on stdin, and prints the tokens that it was given, each once.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from services.providers.adapters.oauth_http import OAuthHttp
from services.providers.adapters.oauth_sessions import OAuthSessions
from services.providers.adapters.upstream import Upstream
from shared.log.nats import NatsLog
from shared.log.port import LEASES, SECRETS
from shared.log.secrets import SecretStore
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.runtime.master_key import load_master_keys


async def main(count: int) -> None:
    environ = os.environ
    password = environ["LOCALROUTER_NATS__PASSWORD"]
    log = await NatsLog.connect(environ["LOCALROUTER_NATS__URL"], user="providers", password=password, name="providers")
    upstream = Upstream()
    await upstream.start()
    secrets = SecretStore(log.bucket(SECRETS), load_master_keys(Path(environ["LOCALROUTER_HOME"]), environ))
    sessions = OAuthSessions(secrets, log.bucket(LEASES), OAuthHttp(upstream), clock=SYSTEM_CLOCK, new_id=new_id)
    print(json.dumps({"ready": True}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    tokens = await asyncio.gather(*(sessions.token("credential-oauth-s", context="c") for _ in range(count)))
    print(json.dumps({"tokens": sorted(str(token) for token in set(tokens))}), flush=True)
    await upstream.stop()
    await log.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
