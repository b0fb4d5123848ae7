"""An application that is built at its first request, so that what is not asked for costs neither start nor memory."""

import asyncio
from collections.abc import Callable

from shared.runtime.asgi import App, Receive, Scope, Send


class LazyApp:
    """Stands for an application until somebody asks for it; built in a thread, so running streams do not stall."""

    def __init__(self, build: Callable[[], App]) -> None:
        self._build = build
        self._app: App | None = None
        self._building = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._app is None:
            async with self._building:
                if self._app is None:
                    self._app = await asyncio.to_thread(self._build)
        await self._app(scope, receive, send)
