"""Which hosts and web origins are this gateway's."""

import pytest

from services.gateway.domain.origin import Hosts, Origins


@pytest.mark.parametrize(
    "host", [b"localhost", b"127.0.0.1:3000", b"[::1]:3000", b"LOCALHOST:1", b"gate.lan", b"gate.lan:80"]
)
def test_own_names_are_answered(host: bytes) -> None:
    assert host in Hosts(["gate.lan"])


@pytest.mark.parametrize(
    "host",
    [b"evil.example", b"localhost.evil.example", b"a/?x=", b"", b"user@localhost", b"localhost/", b"localhost:x"],
)
def test_other_names_are_not(host: bytes) -> None:
    assert host not in Hosts(["gate.lan"])


def test_loopback_origins_may_call_on_any_port_and_others_only_when_configured() -> None:
    origins = Origins(["https://app.example/"])
    for allowed in (b"http://localhost:5173", b"http://127.0.0.1:8080", b"http://[::1]:1", b"https://app.example"):
        assert allowed in origins
    for refused in (b"https://evil.example", b"null", b"http://localhost.evil.example", b"file://localhost"):
        assert refused not in origins
