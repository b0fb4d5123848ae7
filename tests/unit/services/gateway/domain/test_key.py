"""What may happen to a key."""

import pytest

from services.gateway.domain.key import KEY, ChangeKey, CreateKey, DeleteKey, DisableKey, EnableKey, RotateKey
from shared.contracts.config import (
    KeyChanged,
    KeyCreated,
    KeyDeleted,
    KeyDisabled,
    KeyEnabled,
    KeyOptions,
    KeyRotated,
    KeyValue,
    Target,
)
from shared.testing.deciders import given

VALUE = KeyValue(digest=b"1", pepper_id="p", prefix="lr-abc", last4="wxyz")
OTHER = KeyValue(digest=b"2", pepper_id="p", prefix="lr-def", last4="stuv")
OPTIONS = KeyOptions(name="app", target=Target(router="minimum-cost"))
RENAMED = KeyOptions(name="other", target=Target(model="openai/gpt-4o"))
CREATED = KeyCreated(key_id="k", value=VALUE, options=OPTIONS)
DISABLED = KeyDisabled(key_id="k")
DELETED = KeyDeleted(key_id="k")


def test_a_key_is_created_once() -> None:
    given(KEY).when(CreateKey("k", VALUE, OPTIONS)).then(CREATED)
    given(KEY, CREATED).when(CreateKey("k", VALUE, OPTIONS)).then_refused("key_exists")


def test_a_disabled_key_stays_disabled_when_disabled_again() -> None:
    given(KEY, CREATED).when(DisableKey()).then(DISABLED)
    given(KEY, CREATED, DISABLED).when(DisableKey()).then_nothing()
    given(KEY, CREATED, DISABLED).when(EnableKey()).then(KeyEnabled(key_id="k"))
    given(KEY, CREATED).when(EnableKey()).then_nothing()


def test_a_change_to_the_same_is_no_event() -> None:
    given(KEY, CREATED).when(ChangeKey(RENAMED)).then(KeyChanged(key_id="k", options=RENAMED))
    given(KEY, CREATED).when(ChangeKey(OPTIONS)).then_nothing()


def test_a_rotated_key_has_the_new_value() -> None:
    given(KEY, CREATED).when(RotateKey(OTHER, None)).then(KeyRotated(key_id="k", value=OTHER))


@pytest.mark.parametrize(
    "command", [EnableKey(), DisableKey(), ChangeKey(RENAMED), RotateKey(OTHER, None), DeleteKey()]
)
def test_nothing_revives_a_deleted_key(command: object) -> None:
    given(KEY, CREATED, DELETED).when(command).then_refused("key_not_found")
    given(KEY).when(command).then_refused("key_not_found")


def test_a_deleted_key_is_not_created_again() -> None:
    given(KEY, CREATED, DELETED).when(CreateKey("k", VALUE, OPTIONS)).then_refused("key_exists")


@pytest.mark.parametrize("name", ["", " ", "a" * 101, "line\nbreak"])
def test_a_name_is_printable_and_not_too_long(name: str) -> None:
    options = KeyOptions(name=name, target=Target(router="r"))
    given(KEY).when(CreateKey("k", VALUE, options)).then_refused("invalid_name")
    given(KEY, CREATED).when(ChangeKey(options)).then_refused("invalid_name")


def test_a_network_is_a_network() -> None:
    options = KeyOptions(name="a", target=Target(router="r"), networks=("10.0.0.0/33",))
    given(KEY).when(CreateKey("k", VALUE, options)).then_refused("invalid_network")


def test_a_target_is_one_of_two() -> None:
    for wrong in ({}, {"model": "a/b", "router": "c"}):
        with pytest.raises(ValueError, match="either a model or a router"):
            Target(**wrong)
