"""The admin API's ``models/aliases``: names of the operator's for models."""

from typing import Final

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from services.providers.api.ports import Desk
from services.providers.domain.alias import ALIAS, Command, RemoveAlias, SetAlias
from shared.contracts.config import AliasSet
from shared.kernel.errors import Refusal
from shared.runtime.admin import PREFIX, Actor, Cursor, Limit, Page, Problem, paginate

ALIASES: Final = f"{PREFIX}/models/aliases"


class AliasIn(BaseModel):
    """Where the name leads."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="`<provider>/<model>`", max_length=400)


class AliasOut(BaseModel):
    """A name and the model that it leads to."""

    name: str
    model: str
    listed: bool = Field(description="Whether the catalog holds the model now; until it does, the name leads nowhere")


def add_aliases(app: FastAPI, desk: Desk) -> None:
    """Add the routes to ``app``."""

    @app.get(ALIASES, summary="List the names given to models")
    async def list_aliases(  # pyright: ignore[reportUnusedFunction]
        limit: Limit = 100, cursor: Cursor = None
    ) -> Page[AliasOut]:
        page, following = paginate(desk.aliases.all(), _name, limit, cursor)
        return Page(items=[_shown(desk, alias.name, alias.model) for alias in page], next_cursor=following)

    @app.put(f"{ALIASES}/{{name:path}}", summary="Give a model a name")
    async def set_alias(name: str, body: AliasIn, actor: Actor) -> AliasOut:  # pyright: ignore[reportUnusedFunction]
        known = desk.aliases.find(name)
        alias_id = desk.new_id() if known is None else known.alias_id
        if desk.fold.find(body.model.partition("/")[0]) is None:
            raise Problem(404, "provider_not_found", f"{body.model!r} is no model of a provider that there is")
        await _handle(desk, alias_id, SetAlias(alias_id, name, body.model), actor)
        return _shown(desk, name, body.model)

    @app.delete(f"{ALIASES}/{{name:path}}", status_code=204, summary="Take a name away")
    async def remove_alias(name: str, actor: Actor) -> None:  # pyright: ignore[reportUnusedFunction]
        known = desk.aliases.find(name)
        if known is None:
            raise Problem(404, "alias_not_found", f"no model is named {name!r}")
        await _handle(desk, known.alias_id, RemoveAlias(known.alias_id), actor)


def _shown(desk: Desk, name: str, model: str) -> AliasOut:
    return AliasOut(name=name, model=model, listed=desk.catalog.models().get(model) is not None)


async def _handle(desk: Desk, alias_id: str, command: Command, actor: str) -> None:
    done = await desk.aggregates.handle(ALIAS, alias_id, command, actor=actor)
    if isinstance(done, Refusal):
        raise Problem(done.status, done.code, done.message)
    await desk.alias_reached(done.sequence)
    await desk.catalog.settle()


def _name(alias: AliasSet) -> str:
    return alias.name
