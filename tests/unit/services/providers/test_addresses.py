"""Where a provider may be."""

import pytest

from services.providers.domain.addresses import refused_address

NEVER = [
    "http://169.254.169.254/latest",
    "http://[::ffff:169.254.169.254]/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[fd00:ec2::254]/",
    "http://metadata.google.internal/",
    "http://METADATA.google.internal./",
    "http://100.100.100.200/",
    "http://0.0.0.0/",
    "http://224.0.0.1/",
    "file:///etc/passwd",
    "gopher://x/",
    "http://",
    "http://user:password@api.openai.com/",
    "http://api.openai.com/?a=b",
    "http://api.openai.com/#x",
    "http://a b/",
    "http://x:99999/",
    "",
]
PRIVATE = [
    "http://127.0.0.1:11434",
    "http://127.1/",
    "http://0x7f.1/",
    "http://[::1]:8080/v1",
    "http://[::ffff:10.0.0.1]/",
    "http://192.168.1.10/v1",
    "http://10.0.0.1",
    "http://localhost:11434",
    "http://ollama.localhost",
]
PUBLIC = ["https://api.openai.com/v1", "http://8.8.8.8/v1", "https://my-server.example:8443/openai/v1"]


@pytest.mark.parametrize("url", NEVER)
def test_some_addresses_are_never_a_providers(url):
    assert refused_address(url, local=True)
    assert refused_address(url, local=False)


@pytest.mark.parametrize("url", PRIVATE)
def test_private_networks_are_for_local_providers(url):
    assert refused_address(url, local=True) is None
    assert refused_address(url, local=False)


@pytest.mark.parametrize("url", PUBLIC)
def test_the_rest_of_the_world_is_open(url):
    assert refused_address(url, local=False) is None
