"""The fold of providers: snapshots, users, and events that do not read."""

import pytest

from services.providers.projections.providers import ProvidersFold
from shared.contracts.config import (
    AutomaticOrder,
    CredentialSet,
    KeyChanged,
    KeyDeleted,
    KeyOptions,
    ManualOrder,
    ProviderAdded,
    ProviderChanged,
    ProviderRemoved,
    ProviderSpec,
    RouterDeleted,
    RouterReplaced,
    RouterSpec,
    Strategy,
    Target,
)
from shared.contracts.envelope import Event, EventData, type_of
from shared.kernel.errors import ContractBroken
from shared.log.port import LR_CONFIG, Recorded
from shared.runtime.clock import SYSTEM_CLOCK, new_id

SPEC = ProviderSpec(slug="openai", vendor="openai", base_url="https://api.openai.com/v1")


def recorded(data: EventData, subject: str = "lr.config.provider.p") -> Recorded:
    name, version = type_of(data)
    item = Event(
        id=new_id(), type=name, version=version, source="t", subject="provider/p", time=SYSTEM_CLOCK.now(), data=data
    )
    return Recorded(LR_CONFIG, subject, 1, b"", event=item)


def folded(*items: EventData) -> ProvidersFold:
    fold = ProvidersFold()
    for item in items:
        fold.apply(recorded(item))
    return fold


def test_a_snapshot_is_the_same_state():
    stored = CredentialSet(provider_id="p", credential_id="c", secret_id="s", fingerprint="f")
    key = KeyChanged(key_id="k", options=KeyOptions(name="app", target=Target(model="openai/gpt-4o")))
    fold = folded(ProviderAdded(provider_id="p", spec=SPEC), stored, key)
    again = ProvidersFold()
    again.load(fold.dump())
    assert again.get("p") == fold.get("p")
    assert again.find("openai") == again.get("p")
    assert again.users_of("openai") == ("key app",)
    assert again.seen("openai")
    assert again.dump() == fold.dump()


def test_a_snapshot_of_something_else_is_refused():
    with pytest.raises(ContractBroken):
        ProvidersFold().load(b"[]")


def test_a_renamed_and_a_removed_provider_are_found_no_more():
    renamed = ProviderSpec(slug="other", vendor="openai", base_url=SPEC.base_url)
    fold = folded(ProviderAdded(provider_id="p", spec=SPEC), ProviderChanged(provider_id="p", spec=renamed))
    assert fold.find("openai") is None
    assert fold.find("other") is not None
    fold.apply(recorded(ProviderRemoved(provider_id="p")))
    assert fold.all() == []
    assert fold.seen("openai")
    assert fold.seen("other")


def test_users_are_those_of_now():
    def router(order: ManualOrder | AutomaticOrder) -> RouterReplaced:
        return RouterReplaced(router_id="r", spec=RouterSpec(slug="mine", name="Mine", order=order))

    fold = folded(router(ManualOrder(models=("openai/a", "groq/b", "openai/c"))))
    assert fold.users_of("openai") == fold.users_of("groq") == ("router mine",)
    fold.apply(recorded(router(AutomaticOrder(strategies=(Strategy("lowest_cost"),)))))
    assert fold.users_of("openai") == ()
    fold.apply(recorded(KeyChanged(key_id="k", options=KeyOptions(name="a", target=Target(model="openai/a")))))
    assert fold.users_of("openai") == ("key a",)
    fold.apply(recorded(KeyDeleted(key_id="k")))
    fold.apply(recorded(RouterDeleted(router_id="r")))
    assert fold.users_of("openai") == ()


def test_an_event_that_does_not_read_freezes_its_provider_alone():
    fold = folded(ProviderAdded(provider_id="p", spec=SPEC))
    other = ProviderSpec(slug="groq", vendor="groq", base_url="https://api.groq.com/openai/v1")
    fold.apply(recorded(ProviderAdded(provider_id="q", spec=other), "lr.config.provider.q"))
    broken = Recorded(LR_CONFIG, "lr.config.provider.p", 2, b"", broken=ContractBroken("newer"))
    fold.apply(broken)
    fold.apply(recorded(ProviderChanged(provider_id="p", spec=SPEC)))
    assert fold.get("p") is None
    assert [view.id for view in fold.all()] == ["q"]
    assert fold.frozen() == ["provider p is frozen: newer"]
