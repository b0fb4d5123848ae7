"""What people see (tables, sentences) and what programs see (the API's JSON), on stdout; errors go to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

if TYPE_CHECKING:
    from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Print the API's JSON instead of a table.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_WIDE: Final = 220
"""Columns where nobody looks: a pipe must not cut ids."""


def print_json(answer: str | Any) -> None:
    """Print JSON that came from the API as it came, anything else encoded."""
    text = answer if isinstance(answer, str) else msgspec.json.format(msgspec.json.encode(answer)).decode()
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, totals: Sequence[Any] | None = None) -> None:
    """Print rows under their columns; a column that begins with ``>`` holds numbers. ``totals``: a last row."""
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, show_footer=totals is not None, pad_edge=False, footer_style="bold"
    )
    for number, name in enumerate(columns):
        justify = "right" if name.startswith(">") else "left"
        footer = plain(totals[number]) if totals is not None else ""
        table.add_column(name.removeprefix(">"), justify=justify, footer=footer, overflow="fold")
    count = 0
    for row in rows:
        table.add_row(*(plain(cell) for cell in row))
        count += 1
    if count or totals is not None:
        console().print(table)
    else:
        say("none")


def print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Print names and values below each other, leaving out what is empty."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        if value not in (None, "", [], {}, ()):
            table.add_row(name, plain(value))
    console().print(table)


def say(sentence: str, *, style: str | None = None) -> None:
    """Print a sentence."""
    console().print(plain(sentence), style=style, soft_wrap=True)


def console() -> Console:
    """Return the console on stdout; colours only where a person looks, ``NO_COLOR`` and ``COLUMNS`` are honoured."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDE
    return Console(markup=False, highlight=False, emoji=False, width=width)


def plain(value: Any) -> str:
    """Return a value as text that steers no terminal."""
    match value:
        case None:
            return "-"
        case True | False:
            return "yes" if value else "no"
        case float():
            text = f"{value:g}"
        case list() | tuple():
            text = ", ".join(plain(item) for item in value)  # pyright: ignore[reportUnknownVariableType]
        case dict():
            text = ", ".join(f"{name}={plain(item)}" for name, item in value.items())  # pyright: ignore[reportUnknownVariableType]
        case _:
            text = str(value)
    return harmless(text)


def harmless(text: str) -> str:
    """Return ``text`` without control characters other than line ends and tabs: a model's answer is not trusted."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


def usd(amount: str | None) -> str:
    """Return an amount of the API's for people; None: the price is unknown."""
    return "unknown" if amount is None else f"${amount}"


def counted(number: int, kind: str) -> str:
    """Return "1 key", "2 keys"."""
    return f"{number} {kind}" if number == 1 else f"{number} {kind}s"


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone; where nobody can answer, running the command is the answer."""
    if not yes and sys.stdin.isatty() and sys.stdout.isatty():
        typer.confirm(question, abort=True)
