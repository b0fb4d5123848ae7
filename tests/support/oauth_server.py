"""A real authorization server, authlib's, with what an in-memory one needs: clients, codes, tokens.

Its models API beside it takes the access tokens that it gave and no others.
"""

# pyright: reportIncompatibleMethodOverride=false, reportUnknownVariableType=false
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# authlib declares for its mixins less than it takes, and its Flask server without types.

import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant, DeviceCredentialDict
from flask import Flask, jsonify, request
from werkzeug.serving import make_server

CLIENT = "localrouter-test"


class Client(ClientMixin):
    """A public client on loopback."""

    def get_client_id(self) -> str:
        return CLIENT

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return urlsplit(redirect_uri).hostname == "127.0.0.1"

    def check_client_secret(self, client_secret: str) -> bool:
        return False

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "none"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return True


@dataclass
class Code(AuthorizationCodeMixin):
    """An authorization code."""

    code: str
    redirect_uri: str
    scope: str
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Token(TokenMixin):
    """An access token and its refresh token."""

    access_token: str
    refresh_token: str | None
    scope: str
    expires_at: float
    revoked: bool = False

    def check_client(self, client: Client) -> bool:
        return True

    def get_scope(self) -> str:
        return self.scope

    def get_expires_in(self) -> int:
        return int(self.expires_at - time.time())

    def is_expired(self) -> bool:
        return time.time() > self.expires_at

    def is_revoked(self) -> bool:
        return self.revoked

    def get_user(self) -> str:
        return "ada"

    def get_client(self) -> Client:
        return Client()


@dataclass
class Book:
    """What the server knows and saw."""

    codes: dict[str, Code] = field(default_factory=dict[str, Code])
    tokens: list[Token] = field(default_factory=list[Token])
    devices: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    approved: set[str] = field(default_factory=set[str])
    refreshes: int = 0
    grants: list[str] = field(default_factory=list[str])
    broken: int | None = None
    """The token endpoint answers with this status."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class OAuthServer:
    """The server on a free port of loopback."""

    def __init__(self, *, expires_in_s: int = 3600) -> None:
        os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # authlib's own switch for http on loopback
        self.book = Book()
        self.expires_in_s = expires_in_s
        self._app = Flask("authorization server")
        self._server = make_server("127.0.0.1", 0, self._app, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        _routes(self._app, self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="authorization server")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def expire_all(self) -> None:
        """Every access token that was given has ended."""
        for token in self.book.tokens:
            token.expires_at = 0

    def secrets(self) -> list[str]:
        """Return every token that was ever given."""
        given = [(token.access_token, token.refresh_token) for token in self.book.tokens]
        return [value for pair in given for value in pair if value]


def _routes(app: Flask, server: OAuthServer) -> None:
    book = server.book

    def save_token(token: dict[str, Any], req: Any) -> None:
        with book.lock:
            expires_at = time.time() + token["expires_in"]
            refresh = token.get("refresh_token")
            book.tokens.append(Token(token["access_token"], refresh, token.get("scope", ""), expires_at))

    authorization = AuthorizationServer(
        app, query_client=lambda cid: Client() if cid == CLIENT else None, save_token=save_token
    )
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    authorization.init_app(app)
    authorization.register_token_generator("default", _generator(server))
    authorization.register_grant(_code_grant(book), [CodeChallenge(required=True)])
    authorization.register_grant(_refresh_grant(book))
    authorization.register_grant(_device_grant(book))
    authorization.register_endpoint(_device_endpoint(book, server.url))
    authorization.register_endpoint(_revocation_endpoint(book))

    @app.get("/authorize")
    def authorize() -> Any:
        grant = authorization.get_consent_grant(end_user="ada")
        return authorization.create_authorization_response(grant_user="ada", grant=grant)

    @app.post("/token")
    def token() -> Any:
        book.grants.append(request.form["grant_type"])
        if book.broken is not None:
            return "<html>down</html>", book.broken
        return authorization.create_token_response()

    @app.post("/device")
    def device() -> Any:
        return authorization.create_endpoint_response("device_authorization")

    @app.post("/revoke")
    def revoke() -> Any:
        return authorization.create_endpoint_response("revocation")

    @app.get("/.well-known/oauth-authorization-server")
    def metadata() -> Any:
        return jsonify(
            issuer=server.url,
            authorization_endpoint=f"{server.url}/authorize",
            token_endpoint=f"{server.url}/token",
            device_authorization_endpoint=f"{server.url}/device",
            revocation_endpoint=f"{server.url}/revoke",
            code_challenge_methods_supported=["S256"],
        )

    def bearer() -> bool:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        return any(t.access_token == given and not t.is_expired() and not t.revoked for t in book.tokens)

    @app.get("/v1/models")
    def models() -> Any:
        return jsonify(object="list", data=[{"id": "m", "object": "model"}]) if bearer() else (jsonify(error={}), 401)

    @app.post("/v1/chat/completions")
    def chat() -> Any:
        if not bearer():
            return jsonify(error={"message": "no"}), 401
        choice = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return jsonify(id="c", object="chat.completion", created=1, model="m", choices=[choice], usage=usage)


def _generator(server: OAuthServer) -> Any:
    from authlib.common.security import generate_token

    def generate(grant_type: str, client: Any, user: Any = None, scope: str | None = None, **_: Any) -> dict[str, Any]:
        return {
            "token_type": "Bearer",
            "access_token": f"access-{generate_token(32)}",
            "refresh_token": f"refresh-{generate_token(32)}",
            "expires_in": server.expires_in_s,
            "scope": scope or "",
        }

    return generate


def _code_grant(book: Book) -> type:
    class CodeGrant(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["none"]

        def save_authorization_code(self, code: str, request: Any) -> None:
            data = request.payload.data
            book.codes[code] = Code(
                code,
                request.payload.redirect_uri,
                request.payload.scope or "",
                data.get("code_challenge"),
                data.get("code_challenge_method"),
            )

        def query_authorization_code(self, code: str, client: Any) -> Code | None:
            return book.codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            book.codes.pop(authorization_code.code, None)

        def authenticate_user(self, authorization_code: Code) -> str:
            return "ada"

    return CodeGrant


def _refresh_grant(book: Book) -> type:
    class RefreshGrant(grants.RefreshTokenGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["none"]
        INCLUDE_NEW_REFRESH_TOKEN = True

        def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
            with book.lock:
                found = [t for t in book.tokens if t.refresh_token == refresh_token and not t.revoked]
            return found[0] if found else None

        def authenticate_user(self, refresh_token: Token) -> str:
            return "ada"

        def revoke_old_credential(self, refresh_token: Token) -> None:
            with book.lock:
                book.refreshes += 1
                refresh_token.revoked = True

    return RefreshGrant


def _device_grant(book: Book) -> type:
    class Device(DeviceCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["none"]

        def query_device_credential(self, device_code: str) -> Any:
            known = book.devices.get(device_code)
            return None if known is None else DeviceCredentialDict(known)

        def query_user_grant(self, user_code: str) -> tuple[str, bool] | None:
            return ("ada", True) if user_code in book.approved else None

        def should_slow_down(self, credential: Any) -> bool:
            return False

    return Device


def _device_endpoint(book: Book, url: str) -> type:
    class Endpoint(DeviceAuthorizationEndpoint):
        CLIENT_AUTH_METHODS = ["none"]
        INTERVAL = 1

        def get_verification_uri(self) -> str:
            return f"{url}/activate"

        def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
            known = {"client_id": client_id, "scope": scope, "expires_at": time.time() + 600}
            book.devices[data["device_code"]] = {**data, **known}

    return Endpoint


def _revocation_endpoint(book: Book) -> type:
    class Revocation(RevocationEndpoint):
        CLIENT_AUTH_METHODS = ["none"]

        def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
            found = [t for t in book.tokens if token_string in (t.access_token, t.refresh_token)]
            return found[0] if found else None

        def revoke_token(self, token: Token, request: Any) -> None:
            token.revoked = True

    return Revocation


def consent(link: str) -> dict[str, str]:
    """Consent as a person would in a browser, and return what the browser is sent back with."""
    import httpx

    answer = httpx.get(link, follow_redirects=False)
    assert answer.status_code == 302, answer.text
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    return {name: values[0] for name, values in query.items()}
