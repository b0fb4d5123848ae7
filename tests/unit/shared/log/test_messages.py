import pytest

from shared.log.messages import matches, stream_of
from shared.log.port import STREAMS


@pytest.mark.parametrize(
    ("pattern", "subject", "falls_under"),
    [
        ("", "anything.at.all", True),
        ("lr.config.key.1", "lr.config.key.1", True),
        ("lr.config.key.1", "lr.config.key.10", False),
        ("lr.config.*.1", "lr.config.key.1", True),
        ("lr.config.*", "lr.config.key.1", False),
        ("lr.config.*.1", "lr.config.key", False),
        ("lr.config.>", "lr.config.key.1", True),
        ("lr.config.>", "lr.config.key", True),
        ("lr.config.>", "lr.config", False),
        (">", "lr", True),
    ],
)
def test_a_subject_falls_under_a_pattern(pattern: str, subject: str, falls_under: bool) -> None:
    assert matches(pattern, subject) is falls_under


def test_every_subject_is_kept_by_one_stream() -> None:
    for stream, pattern in STREAMS.items():
        assert stream_of(pattern.replace(">", "x.y")) == stream
    with pytest.raises(ValueError, match="no stream keeps"):
        stream_of("elsewhere.x")
