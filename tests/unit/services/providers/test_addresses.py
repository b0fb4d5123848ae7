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
    "http://[::a9fe:a9fe]/",
    "http://[::169.254.169.254]/",
    "http://[::ffff:0:a9fe:a9fe]/",
    "http://[64:ff9b:1::a9fe:a9fe]/",
    "http://[2001:0:a9fe:a9fe:0:0:5601:5601]/",
    "http://[fd00:ec2::23]/",
    "http://[fd20:ce::254]/",
    "http://[fd00:42::42]/",
    "http://169.254.169.254./",
    "http://①⑥⑨.254.169.254/",
    "http://１６９。２５４。１６９。２５４/",
    "http://169。254。169。254/",
    "http://metadata。google。internal/",
    "http://ⓜetadata.google.internal/",
    "http://meta\u00addata.google.internal/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://255.255.255.255/",
    "http://240.0.0.1/",
    "http://0.1.2.3/",
    "http://0/",
    "http://[::]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[::1%25lo]/",
    "http://[::1%lo]/",
    "http://%31%36%39.254.169.254/",
    "http://169.254.169.254\\@api.openai.com/",
    "http://api.openai.com\\.169.254.169.254/",
    "http://api.openai.com@169.254.169.254/",
    "http://169.254.169.254%00.api.openai.com/",
    "http://api..openai.com/",
    "http://./",
    "http://[::1]:0/",
    "http://api.openai.com\n/",
    "http://api.openai.com\t/",
    "//169.254.169.254/",
    "ftp://10.0.0.1/",
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
    "http://LOCALHOST./",
    "http://localhost。/",
    "http://ⓛocalhost/",
    "http://127.0.0.1./",
    "http://１２７.0.0.1/",
    "http://①②⑦.1/",
    "http://017700000001/",
    "http://2130706433/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://0300.0250.1.1/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:0:7f00:1]/",
    "http://[64:ff9b::10.0.0.1]/",
    "http://[2002:7f00:1::]/",
    "http://[fd00::1]/",
    "http://[fec0::1]/",
    "http://100.64.0.1/",
    "http://198.18.0.1/",
    "http://172.16.0.1/",
]
PUBLIC = [
    "https://api.openai.com/v1",
    "https://api.openai.com./v1",
    "http://8.8.8.8/v1",
    "http://[2606:4700::1111]/v1",
    "http://[64:ff9b::8.8.8.8]/v1",
    "https://my-server.example:8443/openai/v1",
    "https://my_server.example/v1",
    "https://bücher.example/v1",
]


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
