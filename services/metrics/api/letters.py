"""Dead letters in the admin API: what was set aside of the usage log, and a further try for it."""

from collections.abc import Sequence
from typing import Final, Protocol

from fastapi import FastAPI
from pydantic import BaseModel, Field

from services.metrics.domain.letters import Letter, Replayed
from shared.kernel.errors import LocalRouterError
from shared.runtime.admin import PREFIX, Cursor, Limit, Page, Problem, decode_cursor, encode_cursor

_SHOWN: Final = 1_000
LETTERS: Final = f"{PREFIX}/dead-letters"


class LetterShape(BaseModel):
    """A message that waits."""

    id: int
    reason: str = Field(description="Why the ledger did not take it")
    subject: str = Field(description="Where it stands in the usage log")
    sequence: int = Field(description="Its place there")
    size: int = Field(description="Bytes of the whole message")
    text: str = Field(description=f"Its first {_SHOWN} bytes; what is no UTF-8 in them is replaced")


class ReplayShape(BaseModel):
    """A message that the ledger took after all."""

    id: int
    records: int = Field(description="Requests that the ledger holds now and did not hold before")


class Letters(Protocol):
    """Knows the dead letters."""

    async def waiting(self, *, limit: int, after: int) -> Sequence[Letter]:
        """Return the oldest letters after ``after`` that wait."""
        ...

    async def replay(self, number: int) -> Replayed | None:
        """Give the ledger a message again; None: there is no such letter."""
        ...


def add_letters(app: FastAPI, letters: Letters) -> None:
    """Add ``/admin/v1/dead-letters``."""

    @app.get(LETTERS, tags=["operation"], operation_id="listDeadLetters")
    async def waiting(limit: Limit = 100, cursor: Cursor = None) -> Page[LetterShape]:  # pyright: ignore[reportUnusedFunction]
        """List the messages of the usage log that the ledger could not take, the oldest first."""
        try:
            found = await letters.waiting(limit=limit + 1, after=_place(cursor))
        except LocalRouterError as error:
            raise _unavailable(error) from error
        page = found[:limit]
        after = encode_cursor(str(page[-1].id)) if len(found) > limit else None
        return Page(items=[_shape(letter) for letter in page], next_cursor=after)

    @app.post(f"{LETTERS}/{{letter_id}}/replay", tags=["operation"], operation_id="replayDeadLetter")
    async def replay(letter_id: int) -> ReplayShape:  # pyright: ignore[reportUnusedFunction]
        """Give a message to the ledger again: after an update that reads it, or once the database takes it. One that
        was taken meanwhile changes nothing."""
        try:
            found = await letters.replay(letter_id)
        except LocalRouterError as error:
            raise _unavailable(error) from error
        if found is None:
            raise Problem(404, "dead_letter_not_found", f"there is no dead letter {letter_id}")
        if found.reason is not None:
            raise Problem(409, "still_not_taken", f"the ledger still does not take it: {found.reason}")
        return ReplayShape(id=letter_id, records=found.records)


def _place(cursor: str | None) -> int:
    text = decode_cursor(cursor)
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise Problem(400, "invalid_cursor", f"not a cursor of this list: {cursor!r}")
    return int(text)


def _shape(letter: Letter) -> LetterShape:
    return LetterShape(
        id=letter.id,
        reason=letter.reason,
        subject=letter.subject,
        sequence=letter.sequence,
        size=letter.size,
        text=letter.raw[:_SHOWN].decode(errors="replace"),
    )


def _unavailable(error: LocalRouterError) -> Problem:
    return Problem(503, "ledger_unavailable", str(error))
