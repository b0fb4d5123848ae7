"""What must not pass from one side to another, and what must not be written down."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw_http import CHAT, Answer, ask, head, post
from tests.support.system import System, Wall, embedded, until

CREDENTIAL = "sk-canary0of0the0vendor0"
PLAIN_CREDENTIAL = "canary.of.the.vendor.without.any.form"
PROMPT = "canary of the prompt"
ANSWER = "canary of the answer"
VENDORS_OWN = {
    "set-cookie": "session=canary-cookie; Path=/",
    "server": "vendor/1.0",
    "x-powered-by": "vendor",
    "keep-alive": "timeout=5",
    "proxy-authenticate": "Basic",
    "upgrade": "h2c",
    "access-control-allow-origin": "*",
    "x-localrouter-model": "forged",
    "alt-svc": 'h3=":443"',
    "content-security-policy": "default-src *",
    "location": "http://evil.example/",
}


@dataclass
class Careful:
    """A system that writes down as much as it can, and what it was told."""

    system: System
    folder: Path
    key: str
    token: str

    def ask(self, *lines: str | bytes, **fields: Any) -> Answer:
        """Ask for an answer to the canary."""
        body = {"model": "auto", "messages": [{"role": "user", "content": PROMPT}], **fields}
        return ask(self.system.url, post(CHAT, body, f"Authorization: Bearer {self.key}", *lines))


@pytest.fixture(scope="module")
def careful(tmp_path_factory: pytest.TempPathFactory, running_wall: Wall) -> Iterator[Careful]:
    """A system at log level debug, with a credential for each of two providers."""
    folder = tmp_path_factory.mktemp("careful")
    with embedded(folder, LOCALROUTER_LOG__LEVEL="debug") as system:
        for slug, credential in (("sealed", CREDENTIAL), ("plain", PLAIN_CREDENTIAL)):
            system.provider(running_wall.url, slug, ["small"])
            put = system.http.put(f"/providers/{slug}/credentials", json={"value": credential})
            assert put.status_code in (200, 201, 204), put.text
            assert credential not in put.text
        key = system.key(target={"model": "sealed/small"})
        token = str(system.http.headers["authorization"]).removeprefix("Bearer ")
        yield Careful(system, folder, key, token)


def test_the_vendor_sees_its_own_credential_and_nothing_of_the_client_s(careful: Careful, vendor: Wall) -> None:
    lines = ["Cookie: session=mine", "X-Api-Key: mine", "Proxy-Authorization: Basic bWluZQ==", "Referer: http://mine"]
    lines += ["X-Forwarded-For: 10.0.0.1", "User-Agent: mine/1.0", "TE: trailers", "OpenAI-Organization: mine"]
    lines += ["x-localrouter-tags: team=mine", "X-Goog-Api-Key: mine", "Forwarded: for=mine", "Via: mine"]
    assert careful.ask(*lines).status == 200
    (attempt,) = vendor.attempts()
    headers = dict(attempt["headers"])
    assert headers["authorization"] == f"Bearer {CREDENTIAL}"
    assert careful.key not in str(attempt)
    assert not [value for value in headers.values() if "mine" in value or "10.0.0.1" in value]


def test_a_request_cannot_choose_address_or_credential(careful: Careful, vendor: Wall) -> None:
    chosen = {"api_base": "http://evil.example", "base_url": "http://evil.example", "api_key": "sk-mine"}
    careful.ask(**chosen, extra_headers={"authorization": "Bearer sk-mine"}, custom_llm_provider="evil")
    (attempt,) = vendor.attempts()
    assert dict(attempt["headers"])["authorization"] == f"Bearer {CREDENTIAL}"


@pytest.mark.parametrize("stream", [False, True])
def test_no_header_of_the_vendor_comes_back(careful: Careful, vendor: Wall, stream: bool) -> None:
    vendor.script({"text": ANSWER, "headers": VENDORS_OWN})
    got = careful.ask(stream=stream)
    assert got.status == 200
    for name, value in VENDORS_OWN.items():
        assert got.header(name) != value
    assert got.header("x-localrouter-model") == "sealed/small"
    assert got.header("set-cookie") is None


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
def test_a_vendor_that_repeats_the_credential_in_its_error_is_not_repeated(
    careful: Careful, vendor: Wall, status: int
) -> None:
    slug = f"repeats-{status}"  # of its own: a credential that was refused is not sent again
    careful.system.provider(vendor.url, slug, [slug])
    careful.system.http.put(f"/providers/{slug}/credentials", json={"value": CREDENTIAL}).raise_for_status()
    asking = replace(careful, key=careful.system.key(target={"model": f"{slug}/{slug}"}))
    said = f"Incorrect API key provided: {CREDENTIAL}. You said: {PROMPT}"
    refusal = {"status": status, "error": {"message": said}, "headers": {"x-echo": CREDENTIAL}}
    vendor.script(refusal, model=slug, repeat=True)
    got = asking.ask()
    assert got.status >= 400
    assert CREDENTIAL not in str(got)


def test_the_admin_api_shows_no_secret(careful: Careful) -> None:
    for path in ("providers", "keys", "requests", "health", "settings", "models", "usage"):
        text = careful.system.http.get(f"/{path}").text
        assert not [secret for secret in (CREDENTIAL, PLAIN_CREDENTIAL, careful.key, careful.token) if secret in text]
    metrics = careful.system.http.get(f"{careful.system.url}/metrics").text
    assert CREDENTIAL not in metrics


@pytest.mark.parametrize(
    "name",
    ["lr.config.>", "*", ">", "a.b.*", "wall/sm\r\nX-Forged: 1", "wall/\u2028x", "nats://x", "$SYS.>", "é" * 200],
)
def test_no_name_forges_a_subject_a_header_or_a_line(careful: Careful, vendor: Wall, name: str) -> None:
    before = len(careful.system.items("requests"))
    got = careful.ask(model=name)
    assert got.status in (200, 400, 404)
    assert got.header("x-forged") is None
    tags = f"x-localrouter-tags: team={name}".encode().replace(b"\r\n", b"\n")
    if b"\n" not in tags:
        assert careful.ask(tags).status == 200
    assert len(careful.system.requests(before + 1)) > before
    assert careful.system.http.get("/health").json()["status"] == "ok"
    assert len(vendor.attempts()) <= 2


@pytest.mark.parametrize("name", ["a\r\nX-Forged: 1", "*", "lr.>", "a\x00b", "\u202eevil", "<script>", "a" * 5000, ""])
def test_names_and_tags_of_keys_are_only_text(careful: Careful, vendor: Wall, name: str) -> None:
    made = careful.system.http.post("/keys", json={"name": name, "tags": {name: name}, "description": name})
    assert made.status_code in (201, 400, 409, 422), made.text
    if made.status_code != 201:
        return
    got = ask(careful.system.url, head("GET", "/v1/models", f"Authorization: Bearer {made.json()['key']}"))
    assert got.status == 200
    assert got.header("x-forged") is None
    body = {"model": "sealed/small", "messages": [{"content": "a"}]}
    got = ask(careful.system.url, post(CHAT, body, f"Authorization: Bearer {made.json()['key']}"))
    assert got.status in (200, 403)
    assert got.header("x-forged") is None


@pytest.mark.parametrize("native", ["a\r\nX-Forged: 1", "*", "lr.>", "m\x00", "../../etc", "é", "a b"])
def test_names_of_models_are_only_text(careful: Careful, vendor: Wall, native: str) -> None:
    slug = f"odd-{sum(map(ord, native))}"
    options = {"models": [native]}
    wanted = {"slug": slug, "vendor": "openai-compatible", "base_url": f"{vendor.url}/v1", "local": True}
    made = careful.system.http.post("/providers", json={**wanted, "options": options})
    assert made.status_code in (201, 400, 422), made.text
    if made.status_code != 201:
        return
    model = f"{slug}/{native}"
    until(lambda: careful.system.http.get("/models", params={"provider": slug}).status_code == 200, "a catalog")
    body = {"model": model, "messages": [{"role": "user", "content": "a"}]}
    got = ask(careful.system.url, post(CHAT, body, f"Authorization: Bearer {careful.key}"))
    assert got.status in (200, 400, 403, 404)
    assert got.header("x-forged") is None
    assert careful.system.http.get("/health").status_code == 200
    assert careful.system.http.delete(f"/providers/{slug}").status_code in (200, 204)


def test_a_forged_line_is_no_line_of_any_log(careful: Careful) -> None:
    forged = '{"event":"forged","level":"error"}'
    ask(
        careful.system.url, head("GET", f"/v1/x%0A{forged.replace(' ', '')}%0A", f"Authorization: Bearer {careful.key}")
    )
    careful.ask(f"x-localrouter-tags: a=b%0a{forged}")
    careful.ask(f"X-Request-Id: {forged}")
    careful.ask(model=f"x\n{forged}")
    for path in (careful.folder / "home" / "logs").rglob("*"):
        if path.is_file():
            assert not [line for line in path.read_text().splitlines() if line.startswith('{"event":"forged"')]


def test_no_canary_is_anywhere_in_the_data_folder_while_it_runs_and_after(
    tmp_path: Path, running_wall: Wall, vendor: Wall
) -> None:
    canaries = {"credential": CREDENTIAL, "plain credential": PLAIN_CREDENTIAL, "prompt": PROMPT, "answer": ANSWER}
    with embedded(tmp_path, LOCALROUTER_LOG__LEVEL="debug") as system:
        for slug, credential in (("sealed", CREDENTIAL), ("plain", PLAIN_CREDENTIAL)):
            system.provider(running_wall.url, slug, ["small"])
            system.http.put(f"/providers/{slug}/credentials", json={"value": credential}).raise_for_status()
        canaries["token"] = str(system.http.headers["authorization"]).removeprefix("Bearer ")
        for slug in ("sealed", "plain"):
            key = canaries[f"key of {slug}"] = system.key(target={"model": f"{slug}/small"})
            told = Careful(system, tmp_path, key, canaries["token"])
            echo = f"{canaries['credential']} {canaries['plain credential']} said {PROMPT}"
            behaviours: list[dict[str, Any]] = [
                {"text": ANSWER},
                {"text": ANSWER, "fault": "close", "events": 4, "after": 2},
                {"text": ANSWER, "fault": "malformed"},
                {"status": 400, "error": {"message": echo, "code": PROMPT, "param": PROMPT}},
                {"status": 401, "error": {"message": echo}},
                {"body": f"<html>{echo}</html>"},
            ]
            for behaviour in behaviours:
                for stream in (False, True):
                    vendor.script(behaviour, behaviour, behaviour)
                    told.ask(stream=stream)
                    vendor.reset()
            broken = f'{{"model":"auto","messages":[{{"content":"{PROMPT}"}}],'.encode()
            ask(system.url, post(CHAT, broken, f"Authorization: Bearer {key}"))
            ask(system.url, post(CHAT, {"model": PROMPT}, f"Authorization: Bearer {key}x"))
            ask(system.url, head("GET", f"/v1/models?key={key}", f"Authorization: Bearer {key}"))
            ask(system.url, head("GET", "/admin/v1/keys", f"Authorization: Bearer {key}"))
        system.requests(24)
        found = leaks(tmp_path, canaries)
    assert found == []
    assert leaks(tmp_path, canaries) == []


def leaks(folder: Path, canaries: dict[str, str]) -> list[str]:
    """Return where a canary is, but for the file that is made for it."""
    found: list[str] = []
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "admin-token":
            raw = path.read_bytes()
            found += [
                f"{path.relative_to(folder)}: {name}" for name, canary in canaries.items() if canary.encode() in raw
            ]
    return found
