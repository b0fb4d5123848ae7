"""The gateway's own part of the admin API: keys, settings, secrets, health. Imported at its first request."""

from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

import msgspec
from fastapi import FastAPI, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.gateway.api.health import HealthView
from services.gateway.api.keys import Keys
from services.gateway.api.secrets import Rotations, add_secrets
from services.gateway.domain.settings import RoutedDefaults
from services.gateway.projections.keys import KnownKey, public_view
from shared.contracts.config import KeyOptions, KeyPolicies, Target
from shared.kernel.errors import Refusal
from shared.runtime.admin import (
    PREFIX,
    Actor,
    Cursor,
    IdempotencyKey,
    IfMatch,
    Limit,
    Page,
    Problem,
    admin_app,
    derived_id,
    etag,
    expected_version,
    paginate,
    refused,
)

T = TypeVar("T")


class Strict(BaseModel):
    """A request body: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


class TargetBody(Strict):
    """Where requests go: ``{"router": slug}`` or ``{"model": "<provider>/<model>"}``."""

    model: str | None = None
    router: str | None = None

    @model_validator(mode="after")
    def one_of_two(self) -> "TargetBody":
        """Exactly one of the two."""
        if (self.model is None) == (self.router is None):
            raise ValueError('a target is either {"model": …} or {"router": …}')
        return self

    def value(self) -> Target:
        """Return it as the log knows it."""
        return Target(self.model, self.router)


class PoliciesBody(Strict):
    """What to do where two answers would be right."""

    drop_params: bool = False
    unpriced: Literal["allow", "refuse"] = "allow"
    limits_unavailable: Literal["closed", "open"] = "closed"


class KeyBody(Strict):
    """What may be said of a key; everything may be left out."""

    name: str | None = Field(None, description="Unique; left out on create: my-app-{n}")
    target: TargetBody | None = None
    allowed: list[str] | None = Field(None, description="Patterns of models and routers that requests may name")
    description: str | None = Field(None, max_length=1000)
    tags: dict[str, str] | None = None
    endpoints: list[str] | None = None
    networks: list[str] | None = None
    max_body_bytes: int | None = Field(None, ge=1, le=2**40)
    policies: PoliciesBody | None = None
    expires_at: datetime | None = None

    @model_validator(mode="after")
    def aware(self) -> "KeyBody":
        """A time needs an offset."""
        if self.expires_at is not None and self.expires_at.tzinfo is None:
            raise ValueError("expires_at needs an offset or Z")
        return self

    def over(self, base: KeyOptions) -> KeyOptions:
        """Return ``base`` with what was said."""
        said: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set & _EDITABLE}
        if self.target is not None:
            said["target"] = self.target.value()
        if self.policies is not None:
            said["policies"] = KeyPolicies(**self.policies.model_dump())
        for name in ("allowed", "endpoints", "networks"):
            if name in said:
                said[name] = tuple(said[name] or ())
        kept = {name: value for name, value in said.items() if value is not None or name in _NULLABLE}
        return msgspec.structs.replace(base, **kept)


_EDITABLE = frozenset(KeyBody.model_fields)
_NULLABLE = frozenset({"max_body_bytes", "expires_at"})


class KeyPatch(KeyBody):
    """A change: what is left out stays."""

    enabled: bool | None = None


class RotateBody(Strict):
    """How long the old value goes on working."""

    grace_s: float = Field(0, ge=0, description="Seconds")


class KeyView(BaseModel):
    """A key without its value."""

    id: str
    name: str
    description: str
    prefix: str | None
    last4: str | None
    enabled: bool
    expires_at: datetime | None
    target: dict[str, str]
    allowed: list[str]
    endpoints: list[str]
    networks: list[str]
    max_body_bytes: int | None
    limits: list[dict[str, Any]]
    policies: PoliciesBody
    tags: dict[str, str]
    created_at: datetime
    version: int


class NewKeyView(KeyView):
    """A key with its value, which is shown this once."""

    key: str


class SettingsBody(Strict):
    """The routed defaults; what is left out stays."""

    default_target: TargetBody | None = None
    unpriced: Literal["allow", "refuse"] | None = None


class SettingsView(BaseModel):
    """The routed defaults."""

    default_target: dict[str, str]
    unpriced: str
    version: int
    restart_required: bool = False


def build(keys: Keys, health: HealthView, rotations: Rotations) -> FastAPI:
    """Return the application."""
    app = admin_app("LocalRouter gateway")
    _add_keys(app, keys)
    _add_settings(app, keys)
    add_secrets(app, rotations)

    @app.get(f"{PREFIX}/health", tags=["health"])
    async def get_health() -> dict[str, Any]:
        """Providers, services and what is degraded, in sentences."""
        return await health.view()

    return app


def _add_keys(app: FastAPI, keys: Keys) -> None:
    path = f"{PREFIX}/keys"

    def found(key_id: str) -> KnownKey:
        known = keys.get(key_id)
        if known is None:
            raise Problem(404, "key_not_found", f"there is no key {key_id}")
        return known

    @app.get(path, tags=["keys"])
    async def list_keys(limit: Limit = 100, cursor: Cursor = None) -> Page[KeyView]:
        """Every key, oldest first."""
        page, following = paginate(keys.all(), lambda known: known.id, limit, cursor)
        return Page(items=[_view(known) for known in page], next_cursor=following)

    @app.post(path, status_code=201, tags=["keys"])
    async def create_key(
        body: KeyBody, response: Response, actor: Actor = "", idempotency_key: IdempotencyKey = None
    ) -> NewKeyView:
        """Make a key; ``key`` in the answer is its value, shown this once."""
        identity = None if idempotency_key is None else derived_id("key", idempotency_key)
        existing = None if identity is None else keys.get(identity)
        if existing is not None:
            shown = _view(existing).model_dump(mode="json")
            raise Problem(409, "already_created", f"this Idempotency-Key made key {existing.id}", resource=shown)
        defaults = (await keys.settings()).state
        options = body.over(KeyOptions(name="", target=defaults.default_target))
        known, value = _done(await keys.create(options, actor=actor, identity=identity))
        response.headers["etag"] = etag(known.version)
        return NewKeyView(**public_view(known), key=value.reveal())

    @app.get(path + "/{key_id}", tags=["keys"])
    async def get_key(key_id: str, response: Response) -> KeyView:
        """One key."""
        known = found(key_id)
        response.headers["etag"] = etag(known.version)
        return _view(known)

    @app.patch(path + "/{key_id}", tags=["keys"])
    async def change_key(
        key_id: str, body: KeyPatch, response: Response, actor: Actor = "", if_match: IfMatch = None
    ) -> KeyView:
        """Change a key; what is left out stays."""
        known, version = found(key_id), expected_version(if_match)
        if body.model_fields_set - {"enabled"}:
            options = body.over(known.options)
            known = _done(await keys.change(known, options, actor=actor, expected_version=version))
            version = None if version is None else known.version
        if body.enabled is not None:
            known = _done(await keys.switch(key_id, body.enabled, actor=actor, expected_version=version))
        response.headers["etag"] = etag(known.version)
        return _view(known)

    @app.post(path + "/{key_id}/rotate", tags=["keys"])
    async def rotate_key(
        key_id: str, response: Response, body: RotateBody | None = None, actor: Actor = "", if_match: IfMatch = None
    ) -> NewKeyView:
        """Give a key a new value, shown this once."""
        grace = timedelta(seconds=(body or RotateBody(grace_s=0)).grace_s)
        rotated = await keys.rotate(key_id, grace, actor=actor, expected_version=expected_version(if_match))
        known, value = _done(rotated)
        response.headers["etag"] = etag(known.version)
        return NewKeyView(**public_view(known), key=value.reveal())

    @app.delete(path + "/{key_id}", status_code=204, tags=["keys"])
    async def delete_key(key_id: str, actor: Actor = "", if_match: IfMatch = None) -> None:
        """End a key for good."""
        refusal = await keys.delete(key_id, actor=actor, expected_version=expected_version(if_match))
        if refusal is not None:
            raise refused(refusal)


def _add_settings(app: FastAPI, keys: Keys) -> None:
    @app.get(f"{PREFIX}/settings", tags=["settings"])
    async def get_settings(response: Response) -> SettingsView:
        """The routed defaults."""
        loaded = await keys.settings()
        response.headers["etag"] = etag(loaded.version)
        return _settings_view(loaded.state, loaded.version)

    @app.patch(f"{PREFIX}/settings", tags=["settings"])
    async def change_settings(
        body: SettingsBody, response: Response, actor: Actor = "", if_match: IfMatch = None
    ) -> SettingsView:
        """Change the routed defaults; what is left out stays."""
        current = (await keys.settings()).state
        wanted = RoutedDefaults(
            body.default_target.value() if body.default_target else current.default_target,
            body.unpriced or current.unpriced,
        )
        changed = await keys.change_settings(wanted, actor=actor, expected_version=expected_version(if_match))
        loaded = _done(changed)
        response.headers["etag"] = etag(loaded.version)
        return _settings_view(loaded.state, loaded.version)


def _done(result: T | Refusal) -> T:
    if isinstance(result, Refusal):
        raise refused(result)
    return result


def _view(known: KnownKey) -> KeyView:
    return KeyView(**public_view(known))


def _settings_view(defaults: RoutedDefaults, version: int) -> SettingsView:
    target = msgspec.to_builtins(defaults.default_target)
    return SettingsView(default_target=target, unpriced=defaults.unpriced, version=version)
