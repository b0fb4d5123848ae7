"""What must never be read in a log, an error or an export is replaced here."""

import re
from typing import Final

MASK: Final = "***"

_PATTERNS: Final = re.compile(
    r"""
    (?P<prefix>
        \b(?:sk|rk|pk|gsk|xai|key|pplx|csk|fw|tgp|hf|lr|lra)[-_](?:ant-|or-v1-|proj-|live-|test-)?  # vendors' own
      | \bAIza                                                                                # Google
      | (?i:\b(?:bearer|basic)\s+)
      | (?i:["']?\b(?:api[-_]?key|authorization|x-api-key|x-goog-api-key|password|secret|access_token|refresh_token)
          \b["']?\s*[:=]\s*["']?)
    )
    (?P<value>[A-Za-z0-9_\-.~+/=]{8,})
    """,
    re.VERBOSE,
)

_HINTS: Final = re.compile(r"(?i)[-_]|bearer|basic|key|auth|pass|secret|token|AIza")


def redact(text: str) -> str:
    """Return ``text`` with everything that looks like a credential masked; its prefix stays to recognise it."""
    if not _HINTS.search(text):
        return text
    return _PATTERNS.sub(lambda match: match["prefix"] + MASK, text)
