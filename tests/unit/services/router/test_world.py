"""The world that the folds make."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from services.router.domain.world import World
from services.router.projections.catalog import CatalogView
from services.router.projections.configuration import ConfigurationFold
from shared.contracts.catalog import Model, ProviderCatalog
from shared.contracts.config import (
    AutomaticOrder,
    KeyChanged,
    KeyCreated,
    KeyDeleted,
    KeyOptions,
    KeyValue,
    NameTaken,
    ProviderAdded,
    ProviderChanged,
    ProviderRemoved,
    ProviderSpec,
    RouterCreated,
    RouterDeleted,
    RouterReplaced,
    RouterSpec,
    SettingsChanged,
    Strategy,
    Target,
)
from shared.contracts.envelope import Event, EventData, type_of
from shared.kernel.errors import ContractBroken
from shared.log.port import LR_CONFIG, Entry, Recorded

SPEC = RouterSpec(slug="cheap", name="Cheap", order=AutomaticOrder(strategies=(Strategy("lowest_cost"),)))
OTHER = msgspec.structs.replace(SPEC, name="Cheaper")
VALUE = KeyValue(digest=b"d", pepper_id="p", prefix="lr-", last4="wxyz")
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def message(sequence: int, subject: str, data: EventData | None) -> Recorded:
    if data is None:
        return Recorded(LR_CONFIG, subject, sequence, b"?", broken=ContractBroken("not an event"))
    name, version = type_of(data)
    event = Event(id="e", type=name, version=version, source="t", subject="s", time=NOW, data=data)
    return Recorded(LR_CONFIG, subject, sequence, b"{}", event=event)


def folded(*messages: tuple[str, EventData | None]) -> World:
    world = World()
    fold = ConfigurationFold(world)
    for sequence, (subject, data) in enumerate(messages, 1):
        fold.apply(message(sequence, f"lr.config.{subject}", data))
    return world


def key(name: str, target: Target, allowed: tuple[str, ...] = ()) -> KeyCreated:
    return KeyCreated(key_id=name, value=VALUE, options=KeyOptions(name=name, target=target, allowed=allowed))


CREATED = ("router.1", RouterCreated(router_id="1", spec=SPEC, default=True))
REPLACED = ("router.1", RouterReplaced(router_id="1", spec=OTHER))


def test_a_router_is_found_by_slug_and_by_id_at_its_version():
    world = folded(CREATED, ("name.router.x", NameTaken(kind="router", name="cheap", owner="1")), REPLACED)
    found = world.find("cheap")
    assert found is world.find("1")
    assert found is not None
    assert (found.spec, found.version, found.sequence, found.default) == (OTHER, 2, 3, True)
    assert world.find("dear") is None


def test_a_deleted_router_is_gone():
    assert folded(CREATED, ("router.1", RouterDeleted(router_id="1"))).find("cheap") is None


def test_a_router_with_an_event_that_does_not_read_is_frozen_as_it_was():
    world = folded(CREATED, ("router.1", None), REPLACED, ("router.2", None))
    assert world.routers["1"].spec == SPEC
    assert world.frozen == {
        "1": "event 2 does not read: not an event",
        "2": "event 4 does not read: not an event",
    }


def test_what_does_not_read_elsewhere_is_not_the_routers_to_judge():
    world = folded(("key.1", None), ("name.router.x", None), CREATED)
    assert world.frozen == {}
    assert world.find("cheap") is not None


def test_who_uses_a_router_is_known():
    world = folded(
        ("key.a", key("a", Target(router="cheap"))),
        ("key.b", key("b", Target(model="p/x"), allowed=("router/cheap", "p/*"))),
        ("key.c", key("c", Target(router="cheap"))),
        ("key.d", key("d", Target(router="dear"))),
        ("key.c", KeyChanged(key_id="c", options=KeyOptions(name="c", target=Target(router="dear")))),
        ("settings.1", SettingsChanged(default_target=Target(router="cheap"))),
    )
    assert world.users_of("cheap") == ("key a", "key b", "the default target")
    assert world.users_of("dear") == ("key c", "key d")


def test_a_deleted_key_uses_nothing():
    world = folded(("key.a", key("a", Target(router="cheap"))), ("key.a", KeyDeleted(key_id="a")))
    assert world.users_of("cheap") == ()


def test_a_snapshot_holds_all_that_was_folded():
    messages = [
        CREATED,
        ("router.2", None),
        ("key.a", key("a", Target(router="cheap"))),
        ("settings.1", SettingsChanged(default_target=Target(router="cheap"))),
        ("provider.p", ProviderAdded(provider_id="p", spec=ProviderSpec(slug="p", vendor="v", base_url="http://x"))),
        REPLACED,
    ]
    for cut in range(len(messages) + 1):
        world = World()
        ConfigurationFold(world).load(ConfigurationFold(folded(*messages[:cut])).dump())
        fold = ConfigurationFold(world)
        for sequence, (subject, data) in enumerate(messages[cut:], cut + 1):
            fold.apply(message(sequence, f"lr.config.{subject}", data))
        assert world == folded(*messages)


def test_a_snapshot_that_does_not_read_breaks_the_contract():
    with pytest.raises(ContractBroken):
        ConfigurationFold(World()).load(b"{}")


def catalog(*models: str, **fields: Any) -> ProviderCatalog:
    items = tuple(Model(id=f"p/{name}", provider_id="1", provider="p", native_id=name) for name in models)
    return ProviderCatalog(provider_id="1", provider="p", models=items, **fields)


def entry(value: ProviderCatalog | None, revision: int = 1) -> Entry:
    return Entry("1", None if value is None else msgspec.json.encode(value), revision)


def test_a_catalog_matters_when_its_models_do():
    world = World()
    view = CatalogView(world)
    assert view.apply(entry(catalog("a"), 1))
    assert not view.apply(entry(catalog("a", refreshed_at=NOW), 2))
    assert view.apply(entry(catalog("a", "b"), 3))
    assert [model.id for model in world.models()] == ["p/a", "p/b"]
    assert view.apply(entry(None, 4))
    assert not view.apply(entry(None, 5))
    assert list(world.models()) == []
    assert world.catalog_revision == 5


def test_a_catalog_that_does_not_read_leaves_the_models_as_they_were():
    world = World()
    view = CatalogView(world)
    view.apply(entry(catalog("a")))
    assert not view.apply(Entry("1", b"?", 2))
    assert "1" in view.broken
    assert [model.id for model in world.models()] == ["p/a"]
    view.apply(entry(catalog("a"), 3))
    assert view.broken == {}


@pytest.mark.parametrize(
    ("listed", "unknown"),
    [
        (catalog("a", refreshed_at=NOW), ["p/b", "q/a"]),
        (catalog("a", refreshed_at=NOW, stale=True), ["q/a"]),
        (catalog(), ["q/a"]),
        (None, ["q/a"]),
    ],
)
def test_a_model_is_unknown_only_where_its_provider_would_know(listed: ProviderCatalog | None, unknown: list[str]):
    spec = ProviderSpec(slug="p", vendor="v", base_url="http://x")
    world = folded(("provider.1", ProviderAdded(provider_id="1", spec=spec)))
    if listed is not None:
        CatalogView(world).apply(entry(listed))
    assert world.unknown_models(("p/a", "p/b", "q/a")) == unknown


def test_a_provider_that_was_renamed_or_removed_is_not_known_by_its_old_name():
    spec = ProviderSpec(slug="p", vendor="v", base_url="http://x")
    renamed = ("provider.1", ProviderChanged(provider_id="1", spec=msgspec.structs.replace(spec, slug="q")))
    added = ("provider.1", ProviderAdded(provider_id="1", spec=spec))
    removed = ("provider.1", ProviderRemoved(provider_id="1"))
    assert folded(added, renamed).providers == {"1": "q"}
    assert folded(added, removed).providers == {}
