import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.contracts import envelope
from shared.contracts.envelope import Event, EventData, decode_event, encode_event, event, registered, upcast
from shared.kernel.errors import ContractBroken
from shared.testing.golden_events import CONTRACTS, example, example_event, file_of

CORPUS = Path(__file__).parent / "events"
ROOT = Path(__file__).parents[2]
FILES = sorted(CORPUS.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_stored_version_reads_into_the_newest(path: Path) -> None:
    item = decode_event(path.read_bytes())
    name, _, version = path.stem.rpartition(".v")
    newest, cls = registered()[name]
    assert (item.type, item.version) == (name, newest)
    assert isinstance(item.data, cls)
    assert int(version) <= newest
    assert item.time.tzinfo is not None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_newest_version_is_written_as_the_corpus_has_it(path: Path) -> None:
    raw = msgspec.json.decode(path.read_bytes())
    item = decode_event(path.read_bytes())
    if raw["version"] == item.version:
        assert msgspec.json.decode(encode_event(item)) == raw


def test_every_version_of_every_type_is_in_the_corpus() -> None:
    wanted = {file_of(CORPUS, name, v) for name, (newest, _) in registered().items() for v in range(1, newest + 1)}
    assert wanted == set(FILES), "run python -m shared.testing.golden_events"


def test_every_module_that_registers_events_is_in_the_corpus() -> None:
    registering = {
        path.stem
        for path in (ROOT / "shared" / "contracts").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "event"
    }
    assert registering == {module.__name__.rpartition(".")[2] for module in CONTRACTS}


def test_the_example_of_an_event_has_every_field() -> None:
    for name, (version, cls) in registered().items():
        raw = msgspec.json.decode(encode_event(example_event(name, version, cls)))
        required = {field.encode_name for field in msgspec.structs.fields(cls) if field.required}
        assert required <= set(raw["data"]), name


@pytest.fixture
def _tidy() -> Iterator[None]:
    kept = [dict(table) for table in (envelope._TYPES, envelope._NAMES, envelope._UPCASTS)]
    yield
    for table, content in zip((envelope._TYPES, envelope._NAMES, envelope._UPCASTS), kept, strict=True):
        table.clear()
        table.update(content)  # type: ignore[arg-type]


@pytest.mark.usefixtures("_tidy")
class TestUpcasts:
    def register(self) -> type[EventData]:
        @event("thing.measured", version=3)
        class Measured(EventData, frozen=True, kw_only=True):
            length_mm: int
            unit: str

        @upcast("thing.measured", 1)
        def centimetres(data: dict[str, Any]) -> dict[str, Any]:
            return {"length_mm": data["length"] * 10}

        @upcast("thing.measured", 2)
        def unit(data: dict[str, Any]) -> dict[str, Any]:
            return {**data, "unit": "mm"}

        return Measured

    def stored(self, version: int, data: Any) -> bytes:
        item = example_event("key.enabled", 1, registered()["key.enabled"][1])
        raw = msgspec.json.decode(encode_event(item))
        return msgspec.json.encode({**raw, "type": "thing.measured", "version": version, "data": data})

    def test_old_versions_climb_step_by_step(self) -> None:
        cls = self.register()
        for raw in (
            self.stored(1, {"length": 4}),
            self.stored(2, {"length_mm": 40}),
            self.stored(3, {"length_mm": 40, "unit": "mm"}),
        ):
            item = decode_event(raw)
            assert item.version == 3
            assert item.data == cls(length_mm=40, unit="mm")  # type: ignore[call-arg]

    def test_a_version_from_the_future_is_broken(self) -> None:
        self.register()
        with pytest.raises(ContractBroken, match="newer than v3"):
            decode_event(self.stored(4, {}))

    @pytest.mark.parametrize("data", [{}, {"length": "x"}, {"length": None}, [], None, 7, "text"])
    def test_old_data_that_does_not_climb_is_broken(self, data: Any) -> None:
        self.register()
        with pytest.raises(ContractBroken, match=r"thing\.measured v1"):
            decode_event(self.stored(1, data))

    @pytest.mark.parametrize("version", [0, -1])
    def test_a_version_without_a_step_is_broken(self, version: int) -> None:
        self.register()
        with pytest.raises(ContractBroken):
            decode_event(self.stored(version, {}))

    def test_a_type_is_registered_once(self) -> None:
        self.register()
        with pytest.raises(ValueError, match="twice"):
            self.register()


def test_an_event_survives_the_wire() -> None:
    for name, (version, cls) in registered().items():
        item: Event = example_event(name, version, cls)
        assert decode_event(encode_event(item)) == item
        assert item.data == example(cls)
