"""Rebuilding the ledger, in the admin API."""

from typing import Literal, Protocol

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from services.metrics.domain.rebuilding import Rebuilding
from shared.runtime.admin import PREFIX


class RebuildAsked(BaseModel):
    """What to rebuild."""

    model_config = ConfigDict(extra="forbid")

    what: Literal["ledger"] = "ledger"


class RebuildShape(BaseModel):
    """How far a rebuild is."""

    state: Literal["idle", "running", "done", "failed"]
    sequence: int = Field(description="The last message of the usage log that is in the new ledger")
    end: int = Field(description="The last message there was when it was looked at")
    records: int = Field(description="In the new ledger so far")
    took_s: float | None = Field(description="null: it is not over")
    error: str | None


class Rebuilder(Protocol):
    """Rebuilds the ledger."""

    def begin(self) -> Rebuilding:
        """Begin, where none runs, and return how far it is."""
        ...

    def at(self) -> Rebuilding:
        """Return how far it is."""
        ...


def add_rebuild(app: FastAPI, rebuilder: Rebuilder) -> None:
    """Add ``/admin/v1/rebuild``."""

    @app.post(f"{PREFIX}/rebuild", tags=["operation"], operation_id="rebuild", status_code=202)
    async def rebuild(asked: RebuildAsked) -> RebuildShape:  # pyright: ignore[reportUnusedFunction]
        """Make the ledger again from the log, beside the one in use, which it then replaces. While one runs, its state
        is returned and no second one begins."""
        return _shape(rebuilder.begin())

    @app.get(f"{PREFIX}/rebuild", tags=["operation"], operation_id="getRebuild")
    async def rebuilding() -> RebuildShape:  # pyright: ignore[reportUnusedFunction]
        """Show how far the rebuild is, or how the last one ended."""
        return _shape(rebuilder.at())


def _shape(found: Rebuilding) -> RebuildShape:
    return RebuildShape(
        state=found.state,
        sequence=found.sequence,
        end=found.end,
        records=found.records,
        took_s=found.took_s,
        error=found.error,
    )
