"""The shapes of what clients ask: each check returns the value it was given, or refuses it by name."""

from typing import cast

from services.providers.domain.canonical import Json, Refused


def number(value: object, name: str) -> float:
    """Return a number; raises Refused."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(name, f"{name} must be a number")
    return value


def integer(value: object, name: str) -> int:
    """Return an integer, also of a float that is one; raises Refused."""
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise Refused(name, f"{name} must be an integer")
    return value


def flag(value: object, name: str) -> bool:
    """Return a truth value; raises Refused."""
    if not isinstance(value, bool):
        raise Refused(name, f"{name} must be true or false")
    return value


def word(value: object, name: str) -> str:
    """Return a text; raises Refused."""
    if not isinstance(value, str):
        raise Refused(name, f"{name} must be text")
    return value


def fields(value: object, name: str) -> Json:
    """Return an object; raises Refused."""
    if not isinstance(value, dict):
        raise Refused(name, f"{name} must be an object")
    return cast("Json", value)


def items(value: object, name: str) -> list[object]:
    """Return a list; raises Refused."""
    if not isinstance(value, list):
        raise Refused(name, f"{name} must be a list")
    return cast("list[object]", value)


def words(value: object, name: str) -> tuple[str, ...]:
    """Return a list of texts; raises Refused."""
    found = items(value, name)
    if not all(isinstance(item, str) for item in found):
        raise Refused(name, f"{name} must be a list of texts")
    return tuple(cast("list[str]", found))


def stops(value: object, name: str = "stop") -> tuple[str, ...]:
    """Return stop sequences, of which one may come alone; raises Refused."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else words(value, name)
