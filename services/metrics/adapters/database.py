"""What the ledger needs of a database, and where the two kinds of it differ."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from sqlalchemy import Engine, Table
from sqlalchemy.engine import Connection

from services.metrics.settings import Postgres
from shared.kernel.errors import LocalRouterError

Use = Literal["write", "read"]


class LedgerUnavailable(LocalRouterError):
    """The ledger does not take writes at the moment: locked, full or unreachable. Nothing is known to be written."""


class RowsRefused(LocalRouterError):
    """The database does not take these rows, however often they are tried. Nothing was written."""


class Database(Protocol):
    """One place for the ledger's tables. Every method blocks."""

    @property
    def place(self) -> str:
        """Where it is, in words that hold no secret."""
        ...

    @property
    def served(self) -> bool:
        """Whether a server of its own does the work; else a thread here does, which takes turns at the interpreter with
        the others up to the moment when all that is left is to commit."""
        ...

    @property
    def where(self) -> Path | Postgres:
        """The same, to be opened by somebody else."""
        ...

    def beside(self) -> "Database":
        """Return the place beside this one where another ledger may be made."""
        ...

    def discard(self) -> None:
        """Remove it, whatever it holds; raises LedgerUnavailable, OSError."""
        ...

    def become(self, other: "Database") -> None:
        """Put what is at ``other`` in the place of what is here. Nobody may have either open.

        Raises LedgerUnavailable, OSError: then all is as it was.
        """
        ...

    def engine(self, use: Use) -> Engine:
        """Return an engine of one connection, to be used by one thread at a time."""
        ...

    def version(self) -> str | None:
        """Return the migration that the tables are at; None: there are none yet.

        Raises StartRefused where no waiting helps (a wrong password, a file of something else), LedgerUnavailable.
        """
        ...

    def make_schema(self) -> None:
        """Make what the tables will be in, where it is missing."""
        ...

    def hold(self, connection: Connection) -> None:
        """Make the connection the only one that writes, until it ends; raises LedgerUnavailable: another does."""
        ...

    def make_room(self, connection: Connection, days: Collection[str]) -> None:
        """See that rows of ``days`` have a place; call it in the transaction that inserts them, or before."""
        ...

    def insert(self, connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows in the order of the table's columns; raises RowsRefused, LedgerUnavailable."""
        ...

    def upsert(self, connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
        """Add rows, or put them in the place of those with the same key."""
        ...

    def refusal(self, error: Exception) -> bool:
        """Whether an error says that rows are at fault, and not the database."""
        ...
