"""The admin API's ``secrets``: rotation of the master key and of the pepper. Imported at its first request."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from shared.kernel.errors import LogError, Refusal, SealBroken, StartRefused
from shared.runtime.admin import PREFIX, Problem, refused


class Rotated(Protocol):
    """What a rotation of the master key did."""

    @property
    def master_id(self) -> str:
        """Names the key that now seals."""
        ...

    @property
    def rewrapped(self) -> int:
        """How many secrets were wrapped anew."""
        ...


@dataclass(frozen=True, slots=True)
class Rotations:
    """What can be rotated."""

    pepper: Callable[[], Awaitable[str]]
    """Returns the id of the new one."""
    master: Callable[[], Awaitable[Rotated | Refusal]]


class RotateBody(BaseModel):
    """What to rotate."""

    model_config = ConfigDict(extra="forbid")
    what: Literal["master", "pepper"]


class RotatedView(BaseModel):
    """What became of it; the ids name keys and say nothing about them."""

    what: Literal["master", "pepper"]
    id: str
    rewrapped: int = 0


def add_secrets(app: FastAPI, rotations: Rotations) -> None:
    """Add the routes of ``secrets``."""

    @app.post(f"{PREFIX}/secrets/rotate", tags=["secrets"])
    async def rotate(body: RotateBody) -> RotatedView:
        """Replace the master key, or make a pepper for new keys, while everything runs."""
        try:
            if body.what == "pepper":
                return RotatedView(what="pepper", id=await rotations.pepper())
            rotated = await rotations.master()
        except (LogError, SealBroken, StartRefused) as error:
            raise Problem(
                503, "rotation_open", f"the rotation did not end, and goes on when asked again: {error}"
            ) from error
        if isinstance(rotated, Refusal):
            raise refused(rotated)
        return RotatedView(what="master", id=rotated.master_id, rewrapped=rotated.rewrapped)
