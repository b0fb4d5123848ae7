import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kernel.errors import SettingsInvalid
from shared.runtime.settings import Settings
from shared.runtime.settings_file import read_settings

SNIPPETS = (
    st.sampled_from(
        [
            "server:\n",
            "  port: ",
            "3000",
            ": ",
            "\n",
            "- ",
            "[",
            "{",
            "]",
            "}",
            ",",
            " ",
            "\t",
            "#",
            "&a ",
            "*a",
            "!!int ",
        ]
    )
    | st.sampled_from(
        [
            "!!python/x",
            "|\n",
            ">\n",
            "---\n",
            "...\n",
            "?",
            "'a",
            '"b',
            "<<: ",
            "0o9",
            "1_0",
            "0x",
            "2001-99-99",
            ".nan",
        ]
    )
    | st.sampled_from(["~", "%YAML 1.1\n", "\x00", "é", "version: 1\n", "version: 0\n", "log_level: info\n", "log:\n"])
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.lists(SNIPPETS, max_size=12).map(lambda parts: "".join(parts).encode())))
def test_any_bytes_are_settings_or_a_list_of_problems(content: bytes):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "localrouter.yaml").write_bytes(content)
        try:
            problems = [] if isinstance(read_settings(Path(folder), {}), Settings) else ["not settings"]
        except SettingsInvalid as error:
            problems = error.problems or ["refused without a reason"]
            problems = [
                problem for problem in problems if "\n" in problem or not problem.startswith("localrouter.yaml")
            ]
        assert problems == []
