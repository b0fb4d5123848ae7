"""The admin API's ``providers``: list, add, show, change, remove, credentials, test.

Imported at its first request, see ``shared.runtime.admin``.
"""

from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Response

from services.providers.api.models import add_models
from services.providers.api.oauth import add_oauth
from services.providers.api.ports import Desk
from services.providers.api.schemas import (
    CredentialIn,
    CredentialOut,
    DiscoveryOut,
    FoundOut,
    ProviderIn,
    ProviderOut,
    ProviderPatch,
    TestOut,
    TrialIn,
    credential_out,
    provider_out,
)
from services.providers.domain.discovery import Found, same_place
from services.providers.domain.health import Probed
from services.providers.domain.provider import (
    ENVIRONMENT,
    OAUTH_PREFIX,
    PROVIDER,
    SECRET_PREFIX,
    AddProvider,
    ChangeProvider,
    Command,
    Provider,
    RemoveCredential,
    RemoveProvider,
    SetCredential,
    invalid,
    secret_context,
)
from services.providers.domain.registry import VENDORS
from services.providers.domain.standing import IN_USE, Standing
from services.providers.projections.providers import ProviderView
from shared.contracts.catalog import HealthState
from shared.kernel.errors import LogDamaged, Refusal
from shared.kernel.secrets import Secret
from shared.log.aggregates import Loaded
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

PROVIDERS: Final = f"{PREFIX}/providers"


def admin(desk: Desk) -> FastAPI:
    """Return the application that serves ``providers``, ``models`` and ``vendors``."""
    app = admin_app("providers")
    _reading(app, desk)
    _writing(app, desk)
    _credentials(app, desk)
    _oauth(app, desk)
    add_models(app, desk)
    return app


def _reading(app: FastAPI, desk: Desk) -> None:
    @app.get(PROVIDERS, summary="List providers")
    async def list_providers(limit: Limit = 100, cursor: Cursor = None) -> Page[ProviderOut]:
        page, following = paginate(desk.fold.all(), _slug, limit, cursor)
        return Page(items=[_shown(desk, view) for view in page], next_cursor=following)

    @app.get(f"{PROVIDERS}/discover", summary="Look for model servers on the usual ports of this machine")
    async def discover_providers() -> DiscoveryOut:
        found = await desk.discovery.look()
        return DiscoveryOut(items=[_found(desk, server) for server in found])

    @app.get(f"{PROVIDERS}/{{name}}", summary="Show a provider, by slug or id")
    async def show_provider(name: str, response: Response) -> ProviderOut:
        view = _find(desk, name)
        response.headers["etag"] = etag(view.version)
        return _shown(desk, view)

    @app.post(f"{PROVIDERS}/{{name}}/test", summary="Ask the vendor's free probe whether it answers")
    async def test_provider(name: str) -> TestOut:
        view = _find(desk, name)
        probed = await desk.probes.probe(view)
        health, reason, _ = desk.health.shown(view.id)
        return _tested(probed, health, reason)

    @app.post(f"{PROVIDERS}/test", summary="Ask a vendor's free probe before a provider is added; nothing is kept")
    async def try_provider(body: TrialIn) -> TestOut:
        spec = body.spec(VENDORS.get(body.vendor))
        if (refusal := invalid(spec)) is not None:
            raise refused(refusal)
        secret = None if body.credential is None else _readable(body.credential)
        return _tested(*await desk.probes.try_out(spec, secret))

    @app.post(f"{PROVIDERS}/{{name}}/breaker-reset", summary="Close the breaker, whatever opened it")
    async def reset_breaker(name: str) -> ProviderOut:
        view = _find(desk, name)
        desk.health.reset(view)
        return _shown(desk, view)


def _writing(app: FastAPI, desk: Desk) -> None:
    @app.post(PROVIDERS, status_code=201, summary="Add a provider")
    async def add_provider(
        body: ProviderIn, response: Response, actor: Actor, idempotency_key: IdempotencyKey = None
    ) -> ProviderOut:
        identity = desk.new_id() if idempotency_key is None else derived_id("provider", idempotency_key)
        existing = desk.fold.get(identity)
        if existing is not None:
            members: dict[str, Any] = {"resource": _shown(desk, existing).model_dump(mode="json")}
            raise Problem(409, "already_exists", "this Idempotency-Key added a provider already", **members)
        spec = body.spec(VENDORS.get(body.vendor))
        await _change(desk, identity, AddProvider(identity, spec), actor)
        view = _find(desk, identity)
        response.headers["etag"] = etag(view.version)
        response.headers["location"] = f"{PROVIDERS}/{identity}"
        return _shown(desk, view)

    @app.patch(f"{PROVIDERS}/{{name}}", summary="Change a provider")
    async def change_provider(
        name: str, body: ProviderPatch, response: Response, actor: Actor, if_match: IfMatch = None
    ) -> ProviderOut:
        view = _find(desk, name)
        spec = body.over(view.spec)
        users = desk.fold.users_of(view.spec.slug) if spec.slug != view.spec.slug else ()
        command = ChangeProvider(view.id, spec, users)
        await _change(desk, view.id, command, actor, expected_version(if_match))
        view = _find(desk, view.id)
        response.headers["etag"] = etag(view.version)
        return _shown(desk, view)

    @app.delete(f"{PROVIDERS}/{{name}}", status_code=204, summary="Remove a provider that nothing uses")
    async def remove_provider(name: str, actor: Actor, if_match: IfMatch = None) -> None:
        view = _find(desk, name)
        command = RemoveProvider(view.id, desk.fold.users_of(view.spec.slug))
        await _change(desk, view.id, command, actor, expected_version(if_match))


def _credentials(app: FastAPI, desk: Desk) -> None:
    @app.put(f"{PROVIDERS}/{{name}}/credentials", summary="Set a credential")
    async def set_credential(name: str, body: CredentialIn, actor: Actor, if_match: IfMatch = None) -> CredentialOut:
        view = _find(desk, name)
        value = _readable(body.value)
        credential_id, secret_id = desk.new_id(), SECRET_PREFIX + desk.new_id()
        fingerprint = Secret(value).fingerprint()
        await desk.secrets.put(secret_id, value.encode(), context=secret_context(view.id, credential_id))
        command = SetCredential(view.id, credential_id, secret_id, fingerprint, body.name)
        try:
            await _change(desk, view.id, command, actor, expected_version(if_match))
        except Problem:
            await desk.secrets.purge(secret_id)
            raise
        return credential_out(credential_id, fingerprint, IN_USE, name=body.name)

    @app.delete(f"{PROVIDERS}/{{name}}/credentials", status_code=204, summary="Remove one credential, or all of them")
    async def remove_credentials(
        name: str,
        actor: Actor,
        credential_id: Annotated[str | None, Query(description="Which one; all of them when left out")] = None,
        if_match: IfMatch = None,
    ) -> None:
        view = _find(desk, name)
        await _change(desk, view.id, RemoveCredential(view.id, credential_id), actor, expected_version(if_match))


def _oauth(app: FastAPI, desk: Desk) -> None:
    async def change(view: ProviderView, command: SetCredential, actor: str) -> None:
        await _change(desk, view.id, command, actor)

    add_oauth(app, lambda: desk.oauth, lambda name: _find(desk, name), change)


async def _change(
    desk: Desk, identity: str, command: Command, actor: str, expected: int | None = None
) -> Loaded[Provider]:
    """Decide and write, wait until the fold shows it, and revoke and purge the secrets that are no longer named."""
    before = desk.fold.get(identity)
    named = {known.secret_id: known.id for known in before.credentials.values()} if before else dict[str, str]()
    try:
        changed = await desk.aggregates.handle(PROVIDER, identity, command, actor=actor, expected_version=expected)
    except LogDamaged as error:
        raise Problem(409, "provider_frozen", f"the provider cannot be changed: {error}") from error
    if isinstance(changed, Refusal):
        if changed.code == "in_use" and isinstance(command, RemoveProvider | ChangeProvider):
            raise Problem(changed.status, changed.code, changed.message, used_by=list(command.users))
        raise refused(changed)
    await desk.reached(changed.sequence)
    for secret_id in named.keys() - {known.secret_id for known in changed.state.credentials.values()}:
        if secret_id.startswith(OAUTH_PREFIX):
            await desk.oauth.sessions.revoke(secret_id, context=secret_context(identity, named[secret_id]))
        await desk.secrets.purge(secret_id)
    return changed


def _find(desk: Desk, name: str) -> ProviderView:
    view = desk.fold.find(name)
    if view is None:
        raise Problem(404, "provider_not_found", f"there is no provider {name!r}")
    return view


def _shown(desk: Desk, view: ProviderView) -> ProviderOut:
    def standing(identity: str) -> Standing:
        return desk.credentials.standing(view, identity)

    credentials = [
        credential_out(known.id, known.fingerprint, standing(known.id), name=known.name)
        for known in view.credentials.values()
    ]
    fingerprint = desk.credentials.environment_fingerprint(view)
    if fingerprint is not None:
        credentials = [credential_out(ENVIRONMENT, fingerprint, standing(ENVIRONMENT), environment=True)]
    return provider_out(view, credentials, desk.health.shown(view.id), desk.health.cool_until(view.id))


def _found(desk: Desk, server: Found) -> FoundOut:
    known = (view.spec.slug for view in desk.fold.all() if same_place(view.spec.base_url, server.base_url))
    return FoundOut(
        vendor=server.vendor.slug,
        name=server.vendor.name,
        base_url=server.base_url,
        models=list(server.models),
        provider=next(known, None),
    )


def _tested(probed: Probed, health: HealthState, reason: str) -> TestOut:
    return TestOut(
        ok=health in ("healthy", "degraded"),
        health=health,
        reason=reason,
        http_status=probed.status,
        latency_ms=round(probed.seconds * 1_000, 1),
    )


def _readable(credential: str) -> str:
    value = credential.strip()
    if not value.isascii() or not value.isprintable() or " " in value or not value:
        raise Problem(422, "invalid_credential", "a credential is printable ASCII without spaces")
    return value


def _slug(view: ProviderView) -> str:
    return view.spec.slug
