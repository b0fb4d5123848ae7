"""The vendors' side doors: lists of models and probes, with the provider's credential."""

import asyncio
from typing import Any, Final

import msgspec

from services.providers.adapters.credentials import Credentials, Usable
from services.providers.adapters.upstream import Upstream, endpoint, read_capped
from services.providers.domain.errors import UNREADABLE, failed
from services.providers.domain.registry import VENDORS
from services.providers.projections.providers import ProviderView
from shared.contracts.frames import Fail
from shared.kernel.clock import Clock

_MOST: Final = 32 * 1024 * 1024
_MOST_OF_ERROR: Final = 64 * 1024
_ENCODE: Final = msgspec.json.Encoder().encode


class VendorAnswered(ValueError):
    """The vendor answered, with another status than 200."""

    def __init__(self, status: int, fail: Fail) -> None:
        super().__init__(f"{status}: {fail.message[:200]}" if fail.message else str(status))
        self.status = status
        self.fail = fail


class NoCredential(ValueError):
    """The provider needs a credential and has none to send."""


class VendorApi:
    """Asks vendors for what costs nothing."""

    def __init__(self, upstream: Upstream, credentials: Credentials, clock: Clock) -> None:
        self._upstream = upstream
        self._credentials = credentials
        self._clock = clock

    async def get(self, view: ProviderView, path: str, *, limit_s: float, credential: Usable | None = None) -> Any:
        """Return the JSON at ``path``; ``credential`` None: the provider's own.

        Raises VendorAnswered, NoCredential, ValueError for no JSON, TimeoutError, OSError.
        """
        return await self._ask("GET", view, path, None, limit_s, credential)

    async def post(self, view: ProviderView, path: str, body: dict[str, Any], *, limit_s: float) -> Any:
        """Return the JSON that answers ``body``; raises as ``get``."""
        return await self._ask("POST", view, path, _ENCODE(body), limit_s, None)

    async def _ask(
        self, method: str, view: ProviderView, path: str, body: bytes | None, limit_s: float, credential: Usable | None
    ) -> Any:
        vendor = VENDORS[view.spec.vendor]
        headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": "LocalRouter",
            **vendor.headers,
            **view.spec.options.headers,
        }
        if body is not None:
            headers["content-type"] = "application/json"
        if credential is None and vendor.credential != "none":
            credential = await self._credentials.of(view)
            absent = self._credentials.absent(view)
            if credential is None and (absent is not None or vendor.credential == "required"):
                raise NoCredential("no credential is set" if absent is None else absent.reason)
        if credential is not None:
            headers[vendor.auth.header] = vendor.auth.value(credential.secret.reveal())
        async with asyncio.timeout(limit_s):
            response = await self._upstream.send(
                method,
                endpoint(view.spec.base_url, path),
                headers,
                body,
                local=view.spec.local,
                connect_s=limit_s,
            )
            try:
                answer = await read_capped(response, _MOST)
            finally:
                response.close()
        if response.status != 200:
            fail = failed(
                response.status,
                (answer or b"")[:_MOST_OF_ERROR],
                response.headers,
                now=self._clock.now(),
                credential_id=credential.id if credential else None,
                secret=credential.secret.reveal() if credential else None,
            )
            raise VendorAnswered(response.status, fail)
        if answer is None:
            raise OSError("the answer is larger than 32 MiB")
        try:
            return msgspec.json.decode(answer)
        except UNREADABLE as error:
            raise ValueError(f"the answer is not JSON: {error}") from error
