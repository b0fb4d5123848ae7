"""OAuth 2.0 as a client speaks it: what is asked of an authorization server, and what its answers mean.

Authorization code with PKCE (RFC 6749, 7636, 8252), device code (RFC 8628), revocation (RFC 7009), metadata (RFC 8414).
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlencode, urlsplit

import msgspec

from services.providers.domain.addresses import refused_address
from services.providers.domain.errors import UNREADABLE
from shared.kernel.errors import Refusal

_EARLY_S: Final = 60.0
"""A token is renewed this long before it ends, or after nine tenths of its life if that is later."""
_DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_FINAL: Final = frozenset({"invalid_grant", "invalid_client", "unauthorized_client", "unsupported_grant_type"})
"""Errors that asking again does not mend; what else comes, 5xx first of all, is doubtful."""


class AuthServer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An authorization server, and who we are to it."""

    client_id: str
    issuer: str = ""
    authorize_url: str = ""
    token_url: str = ""
    device_url: str = ""
    revoke_url: str = ""
    client_secret: str = ""
    """Of a client that has one; it is stored with the tokens, sealed."""
    scopes: tuple[str, ...] = ()
    local: bool = False
    """It may be in a private network: the provider is declared local."""


class Session(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sign-in as it is stored, sealed: the tokens and where they are renewed."""

    server: AuthServer
    access_token: str
    refresh_token: str = ""
    issued_at: float
    """Unix seconds."""
    expires_at: float | None = None
    """Unix seconds; None: the server did not say."""
    generation: int = 0
    """How often it was renewed: of two, the one with more is the later."""
    refused: str = ""
    """Why the server will not renew it any more: somebody must sign in again."""

    def fresh(self, now: float) -> bool:
        """Whether the access token can still be used for a while."""
        if self.expires_at is None:
            return True
        return now < max(self.expires_at - _EARLY_S, self.issued_at + 0.9 * (self.expires_at - self.issued_at))

    def alive(self, now: float) -> bool:
        """Whether the access token has not ended yet."""
        return self.expires_at is None or now < self.expires_at

    def __repr__(self) -> str:
        return "Session(***)"


@dataclass(frozen=True, slots=True)
class Granted:
    """Tokens, as a server gave them."""

    access_token: str
    refresh_token: str
    expires_in_s: float | None

    def __repr__(self) -> str:
        return "Granted(***)"

    def session(self, server: AuthServer, now: float, before: Session | None = None) -> Session:
        """Return the session they make; a refresh token that was not replaced stays (RFC 6749, section 6)."""
        kept = before.refresh_token if before else ""
        return Session(
            server=server,
            access_token=self.access_token,
            refresh_token=self.refresh_token or kept,
            issued_at=now,
            generation=before.generation + 1 if before else 0,
            expires_at=None if self.expires_in_s is None else now + self.expires_in_s,
        )


@dataclass(frozen=True, slots=True)
class Denied:
    """No tokens; ``final``: the server said no, in so many words. Else nobody knows, and nothing may be given up."""

    code: str
    message: str
    final: bool


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What a person types in elsewhere, and what we ask the token with."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in_s: float
    interval_s: float


def challenge(verifier: str) -> str:
    """Return the S256 challenge of a PKCE verifier (RFC 7636, section 4.2)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def authorize_link(server: AuthServer, *, redirect_uri: str, state: str, verifier: str) -> str:
    """Return the address where a person signs in and consents."""
    asked = {
        "response_type": "code",
        "client_id": server.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(server.scopes),
        "state": state,
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
    }
    return f"{server.authorize_url}?{urlencode({name: value for name, value in asked.items() if value})}"


def code_form(server: AuthServer, *, code: str, redirect_uri: str, verifier: str) -> dict[str, str]:
    """Return what the token endpoint is sent for an authorization code."""
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
        **client_form(server),
    }


def device_form(server: AuthServer, device_code: str) -> dict[str, str]:
    """Return what the token endpoint is sent for a device code."""
    return {"grant_type": _DEVICE_GRANT, "device_code": device_code, **client_form(server)}


def refresh_form(session: Session) -> dict[str, str]:
    """Return what the token endpoint is sent for other tokens."""
    return {"grant_type": "refresh_token", "refresh_token": session.refresh_token, **client_form(session.server)}


def client_form(server: AuthServer) -> dict[str, str]:
    """Return who we are: a client without a secret says its name alone."""
    secret = {"client_secret": server.client_secret} if server.client_secret else {}
    return {"client_id": server.client_id, **secret}


def read_grant(status: int, body: bytes) -> Granted | Denied:
    """Read the answer of a token endpoint."""
    said = _object(body)
    if status == 200 and isinstance(said.get("access_token"), str) and said["access_token"]:
        kind = str(said.get("token_type") or "bearer").lower()
        if kind != "bearer":
            return Denied("token_type", f"the tokens are of type {kind!r}, and only Bearer can be sent", final=True)
        refresh = said.get("refresh_token")
        return Granted(said["access_token"], refresh if isinstance(refresh, str) else "", _seconds(said, "expires_in"))
    code = str(said.get("error") or "")
    final = 400 <= status < 500 and code in _FINAL
    # What a server says of an error may repeat what it was sent: only its code, a token of its own, is shown.
    answer = f"answers {status} {code[:60]}".strip() if status else "does not answer"
    return Denied(code or f"http_{status}", f"the authorization server {answer}", final)


def read_device(status: int, body: bytes) -> DeviceCode | Denied:
    """Read the answer of a device endpoint."""
    said = _object(body)
    names = ("device_code", "user_code", "verification_uri")
    if status != 200 or not all(isinstance(said.get(name), str) and said[name] for name in names):
        denied = read_grant(status if status != 200 else 502, body)
        return denied if isinstance(denied, Denied) else Denied("http_200", "the answer holds no device code", False)
    complete = said.get("verification_uri_complete")
    return DeviceCode(
        device_code=said["device_code"],
        user_code=said["user_code"],
        verification_uri=said["verification_uri"],
        verification_uri_complete=complete if isinstance(complete, str) else "",
        expires_in_s=_seconds(said, "expires_in") or 600.0,
        interval_s=_seconds(said, "interval") or 5.0,
    )


def with_metadata(server: AuthServer, metadata: Any) -> AuthServer | Refusal:
    """Return ``server`` with what its metadata says of addresses that were not given (RFC 8414, section 3.3)."""
    said = _members(metadata)
    if str(said.get("issuer", "")).rstrip("/") != server.issuer.rstrip("/"):
        return Refusal("invalid_oauth", f"the metadata of {server.issuer} is another issuer's", 422)
    found = {
        "authorize_url": said.get("authorization_endpoint"),
        "token_url": said.get("token_endpoint"),
        "device_url": said.get("device_authorization_endpoint"),
        "revoke_url": said.get("revocation_endpoint"),
    }
    missing = {name: url for name, url in found.items() if isinstance(url, str) and not getattr(server, name)}
    return msgspec.structs.replace(server, **missing)


def metadata_urls(issuer: str) -> tuple[str, str]:
    """Return where an issuer's metadata is: RFC 8414's place, then OpenID's."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    return f"{origin}/.well-known/oauth-authorization-server{path}", f"{origin}{path}/.well-known/openid-configuration"


def refused_server(server: AuthServer) -> Refusal | None:
    """Return why an authorization server cannot be used, or None: every address of it must be one we may go to."""
    for name in ("issuer", "authorize_url", "token_url", "device_url", "revoke_url"):
        url: str = getattr(server, name)
        if not url:
            continue
        why = refused_address(url, local=server.local)
        if why is None and not server.local and urlsplit(url).scheme != "https":
            why = "tokens travel over https alone"
        if why is not None:
            return Refusal("invalid_oauth", f"{name}: {why.replace('base_url', 'it')}", 422)
    return None


def refused_redirect(redirect_uri: str) -> Refusal | None:
    """Return why a person may not be sent back to ``redirect_uri``: it must be on their own machine (RFC 8252)."""
    try:
        parts = urlsplit(redirect_uri)
        fine = parts.scheme == "http" and parts.hostname in _LOOPBACK and not parts.fragment and not parts.username
    except ValueError:
        fine = False
    return None if fine else Refusal("invalid_redirect", "redirect_uri must be http:// on loopback", 422)


def _object(body: bytes) -> dict[str, Any]:
    try:
        return _members(msgspec.json.decode(body))
    except UNREADABLE:
        return {}


def _members(document: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", document) if isinstance(document, dict) else {}


def _seconds(said: Mapping[str, Any], name: str) -> float | None:
    value = said.get(name)
    if isinstance(value, str) and value.isdecimal():  # some servers quote it
        value = int(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None
