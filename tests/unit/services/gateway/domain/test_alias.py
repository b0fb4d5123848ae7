"""A name of the operator's leads to its model, whatever vendors call theirs."""

import msgspec

from services.gateway.domain.destination import resolve
from services.gateway.projections.routes import Catalog, Plans
from shared.contracts.catalog import Model, ProviderCatalog
from shared.contracts.config import Target
from shared.log.port import Entry

TARGET = Target(model="a/m")


class Anyone:
    def permits(self, name: str) -> bool:
        return True


def catalog(*models: Model) -> Catalog:
    found = Catalog()
    of: dict[str, list[Model]] = {}
    for model in models:
        of.setdefault(model.provider, []).append(model)
    for provider, theirs in of.items():
        entry = ProviderCatalog(provider_id=provider, provider=provider, models=tuple(theirs))
        found.apply(Entry(provider, msgspec.json.encode(entry), 1))
    return found


def model(provider: str, native: str, *aliases: str) -> Model:
    return Model(id=f"{provider}/{native}", provider_id=provider, provider=provider, native_id=native, aliases=aliases)


def asked(name: str, *models: Model) -> str:
    return resolve(name, Anyone(), TARGET, Plans(), catalog(*models)).candidates[0].model


def test_an_alias_leads_to_its_model() -> None:
    assert asked("small", model("a", "m"), model("b", "n", "small")) == "b/n"


def test_an_alias_comes_before_what_vendors_call_so() -> None:
    assert asked("small", model("a", "m"), model("a", "small"), model("b", "n", "small")) == "b/n"


def test_without_an_alias_a_name_is_what_it_was() -> None:
    assert asked("n", model("a", "m"), model("b", "n", "small")) == "b/n"
    assert asked("unknown", model("a", "m"), model("b", "n", "small")) == "a/m"
