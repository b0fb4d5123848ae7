"""No request leaves for an address that no provider may have: real sockets listen, and see nothing."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.providers.adapters import upstream
from services.providers.adapters.upstream import AddressRefused, endpoint
from shared.contracts.config import ProviderSpec
from shared.contracts.frames import Fail, FailureKind, Tail
from shared.testing import upstream_behaviour as does
from shared.testing.completions_contract import PROVIDER, completion, frames_of
from shared.testing.upstream import Upstream

LOOPBACK = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.255.255.254",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "00000177.0x0.0.1",
    "①②⑦.0.0.1",
    "１２７。0。0。1",
    "localhost",
    "LOCALHOST.",
    "ⓛocalhost",
    "ip6-localhost",
    "0",
    "0.0.0.0",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
]
METADATA = [
    "169.254.169.254",
    "169.254.43518",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "①⑥⑨.②⑤④.①⑥⑨.②⑤④",
    "[::ffff:169.254.169.254]",
    "[::a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
    "[fd00:ec2::254]",
    "[fe80::a9fe:a9fe]",
    "100.100.100.200",
]


class Canary:
    """Listens on IPv4 and IPv6, and counts who comes."""

    def __init__(self) -> None:
        self.port = 0
        self.seen = 0

    async def _come(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen += 1
        writer.close()


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    found = Canary()
    listening = socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET)
    if socket.has_ipv6:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listening.bind(("", 0))
    server = await asyncio.start_server(found._come, sock=listening)
    found.port = listening.getsockname()[1]
    async with server:
        yield found


@pytest.fixture
async def way_out() -> AsyncIterator[upstream.Upstream]:
    found = upstream.Upstream()
    await found.start()
    yield found
    await found.stop()


async def sent(way_out: upstream.Upstream, host: str, port: int, *, local: bool = False) -> None:
    url = endpoint(f"http://{host}:{port}/v1", "/models")
    answer = await way_out.send("GET", url, {"authorization": "Bearer sk-canary"}, None, local=local, connect_s=2)
    answer.close()


@pytest.mark.parametrize("host", LOOPBACK)
async def test_no_spelling_of_this_machine_is_connected_to(canary, way_out, host):
    with pytest.raises(OSError):
        await sent(way_out, host, canary.port)
    assert canary.seen == 0


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("host", METADATA)
async def test_no_spelling_of_a_metadata_service_is_connected_to_even_by_a_local_provider(
    way_out, monkeypatch, host, local
):
    monkeypatch.setattr(upstream.aiohappyeyeballs, "start_connection", must_not_happen)
    with pytest.raises(OSError) as refused:
        await sent(way_out, host, 80, local=local)
    assert isinstance(refused.value, AddressRefused | socket.gaierror)


async def must_not_happen(*_: Any, **__: Any) -> Any:
    raise AssertionError("connected")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_a_provider_that_is_declared_local_is_reached(house, host):
    async with Upstream() as wall:
        spec = at(f"http://{host}:{wall.url.rpartition(':')[2]}/v1", local=True)
        async with house((PROVIDER, spec, "sk-local")) as running:
            (*_, last) = await frames_of(running.completions, completion())
    assert isinstance(last, Tail)


def at(base_url: str, *, local: bool) -> ProviderSpec:
    return ProviderSpec(slug="wall", vendor="openai-compatible", base_url=base_url, local=local)


def rebind(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let every name resolve to one answer after the other, and return what is asked."""
    asked: list[str] = []

    async def getaddrinfo(_: Any, host: str, port: int, **__: Any) -> list[Any]:
        asked.append(host)
        addresses = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["169.254.169.254"], ["93.184.216.34", "127.0.0.1"]])
async def test_a_name_that_resolves_to_a_private_address_is_refused_whatever_else_it_resolves_to(
    canary, way_out, monkeypatch, answer
):
    rebind(monkeypatch, answer)
    with pytest.raises(AddressRefused):
        await sent(way_out, "api.rebinding.example", canary.port)
    assert canary.seen == 0


async def test_a_name_is_connected_to_at_the_address_that_was_judged(canary, way_out, monkeypatch):
    asked = rebind(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    connected: list[Any] = []

    async def start_connection(found: list[Any], **_: Any) -> Any:
        connected.extend(address[0] for *_, address in found)
        raise ConnectionRefusedError

    monkeypatch.setattr(upstream.aiohappyeyeballs, "start_connection", start_connection)
    with pytest.raises(ConnectionRefusedError):
        await sent(way_out, "api.rebinding.example", canary.port)
    assert (asked, connected) == (["api.rebinding.example"], ["93.184.216.34"])
    with pytest.raises(AddressRefused):
        await sent(way_out, "api.rebinding.example", canary.port)
    assert canary.seen == 0


async def test_a_provider_stored_before_the_rules_sends_nothing_either(house, canary, monkeypatch):
    rebind(monkeypatch, ["127.0.0.1"])
    spec = at(f"http://api.rebinding.example:{canary.port}/v1", local=False)
    async with house((PROVIDER, spec, "sk-canary")) as running:
        (failure,) = await frames_of(running.completions, completion())
        probed = await running.prober.probe(running.view(PROVIDER))
        await running.refresh(PROVIDER)
    assert isinstance(failure, Fail)
    assert failure.kind is FailureKind.CONNECT
    assert "private network" in failure.message
    assert "private network" in probed.reason
    assert canary.seen == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed_nowhere(house, canary, status):
    async with Upstream() as wall, house((PROVIDER, at(f"{wall.url}/v1", local=True), "sk-canary")) as running:
        away = does.failure(status, "elsewhere", headers={"location": f"http://127.0.0.1:{canary.port}/v1/models"})
        wall.script("small", away)
        wall.script("/v1/models", away, repeat=True)
        (failure,) = await frames_of(running.completions, completion())
        await running.prober.probe(running.view(PROVIDER))
        await running.refresh(PROVIDER)
    assert isinstance(failure, Fail)
    assert canary.seen == 0


async def test_no_request_chooses_where_it_goes_or_with_what(house, canary, monkeypatch):
    elsewhere = f"http://127.0.0.1:{canary.port}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, elsewhere)
    chosen = {"api_base": elsewhere, "base_url": elsewhere, "api_key": "sk-mine", "extra_headers": {"host": "x"}}
    async with Upstream() as wall, house((PROVIDER, at(f"{wall.url}/v1", local=True), "sk-own")) as running:
        request = completion()
        request.body |= chosen
        (*_, last) = await frames_of(running.completions, request)
        assert isinstance(last, Tail)
        assert wall.completions[-1].header("authorization") == "Bearer sk-own"
    assert canary.seen == 0
