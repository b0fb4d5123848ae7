"""The admin API's ``routers``: list, show, create, replace, delete, and the plan that a router makes.

Imported at its first request, see ``shared.runtime.admin``.
"""

from typing import Any, Final

from fastapi import FastAPI, Response

from services.router.api.desk import Routers
from services.router.api.schemas import PlanOut, RouterIn, RouterOut, plan_out, router_out
from services.router.api.simulate import Since, add_simulate
from services.router.domain.defaults import DEFAULTS
from services.router.domain.router import CreateRouter, DeleteRouter, ReplaceRouter, Router
from services.router.domain.world import RouterView
from shared.kernel.clock import Clock
from shared.kernel.ids import RouterId
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
)

ROUTERS: Final = f"{PREFIX}/routers"


def admin(routers: Routers, since: Since, clock: Clock) -> FastAPI:
    """Return the application that serves ``/admin/v1/routers`` and ``/admin/v1/simulate``."""
    app = admin_app("router")
    _reading(app, routers)
    _writing(app, routers)
    _restoring(app, routers)
    add_simulate(app, routers, since, clock)
    return app


def _reading(app: FastAPI, routers: Routers) -> None:
    @app.get(ROUTERS, summary="List routers")
    async def list_routers(limit: Limit = 100, cursor: Cursor = None) -> Page[RouterOut]:
        everything = sorted(routers.world.routers.values(), key=_slug)
        page, following = paginate(everything, _slug, limit, cursor)
        return Page(items=[router_out(router) for router in page], next_cursor=following)

    @app.get(f"{ROUTERS}/{{name}}", summary="Show a router, by slug or id")
    async def show_router(name: str, response: Response) -> RouterOut:
        router = routers.find(name)
        response.headers["etag"] = etag(router.version)
        return router_out(router)

    @app.get(f"{ROUTERS}/{{name}}/preview", summary="Show the plan of a router: candidates, reasons, left out")
    def preview_router(name: str) -> PlanOut:
        router = routers.find(name)
        return plan_out(routers.plan(router.id, router.spec, router.sequence))

    @app.post(f"{ROUTERS}/preview", summary="Show the plan that a router would have; nothing is saved")
    def preview_unsaved(body: RouterIn) -> PlanOut:
        return plan_out(routers.plan("", routers.check(body.spec())))


def _writing(app: FastAPI, routers: Routers) -> None:
    @app.post(ROUTERS, status_code=201, summary="Create a router")
    async def create_router(
        body: RouterIn, response: Response, actor: Actor, idempotency_key: IdempotencyKey = None
    ) -> RouterOut:
        router_id = RouterId(routers.new_id() if idempotency_key is None else derived_id("router", idempotency_key))
        existing = routers.world.routers.get(router_id)
        if existing is not None:
            members: dict[str, Any] = {"resource": router_out(existing).model_dump(mode="json")}
            raise Problem(409, "router_exists", "this Idempotency-Key made a router already", **members)
        created = await routers.change(router_id, CreateRouter(router_id, routers.check(body.spec())), actor)
        response.headers["etag"] = etag(created.version)
        response.headers["location"] = f"{ROUTERS}/{router_id}"
        return _out(created)

    @app.put(f"{ROUTERS}/{{name}}", summary="Replace a router")
    async def replace_router(
        name: str, body: RouterIn, response: Response, actor: Actor, if_match: IfMatch = None
    ) -> RouterOut:
        await routers.caught_up()
        router = routers.find(name)
        spec = routers.check(body.spec(router.spec.slug))
        command = ReplaceRouter(spec, routers.world.users_of(router.spec.slug))
        changed = await routers.change(router.id, command, actor, expected_version(if_match))
        response.headers["etag"] = etag(changed.version)
        return _out(changed)

    @app.delete(f"{ROUTERS}/{{name}}", status_code=204, summary="Delete a router that nothing uses")
    async def delete_router(name: str, actor: Actor, if_match: IfMatch = None) -> None:
        await routers.caught_up()
        router = routers.find(name)
        command = DeleteRouter(routers.world.users_of(router.spec.slug))
        await routers.change(router.id, command, actor, expected_version(if_match))


def _restoring(app: FastAPI, routers: Routers) -> None:
    @app.post(f"{ROUTERS}/{{name}}/restore-default", summary="Make a default router as it was at the first start")
    async def restore_default(name: str, response: Response, actor: Actor, if_match: IfMatch = None) -> RouterOut:
        await routers.caught_up()
        router = routers.find(name)
        original = next((default.spec for default in DEFAULTS if default.id == router.id), None)
        if original is None:
            slugs = ", ".join(default.spec.slug for default in DEFAULTS)
            raise Problem(409, "not_a_default", f"router {name!r} has no default to restore: only {slugs} have one")
        command = ReplaceRouter(original, routers.world.users_of(router.spec.slug))
        changed = await routers.change(router.id, command, actor, expected_version(if_match))
        response.headers["etag"] = etag(changed.version)
        return _out(changed)


def _slug(router: RouterView) -> str:
    return router.spec.slug


def _out(changed: Loaded[Router]) -> RouterOut:
    """Return the router that a change left behind."""
    router = changed.state
    if router.id is None or router.spec is None:
        raise AssertionError("a router that was created or replaced has a specification")
    view = RouterView(
        id=router.id, spec=router.spec, version=changed.version, sequence=changed.sequence, default=router.default
    )
    return router_out(view)
