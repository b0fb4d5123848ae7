"""What is said of a field that a form does not know."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from shared.runtime.unknown_fields import allowed_fields


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    barks: bool = True


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


class House(BaseModel):
    name: str
    pet: Pet | None = None
    pets: list[Pet] = []
    rooms: dict[str, Cat] = {}
    street: str = Field(default="", alias="where")


@pytest.mark.parametrize(
    ("where", "fields"),
    [
        ((), ["name", "pet", "pets", "rooms", "where"]),
        (("pet", "cat"), ["kind", "lives"]),
        (("pet",), ["kind", "lives", "barks"]),
        (("pets", 3, "dog"), ["kind", "barks"]),
        (("rooms", "kitchen"), ["kind", "lives"]),
        (("name",), []),
        (("nowhere", "else"), []),
    ],
)
def test_the_fields_of_the_part_where_it_stands_are_named(where: tuple[Any, ...], fields: list[str]):
    assert allowed_fields(House, where) == fields
    assert allowed_fields(House | None, where) == fields
