"""Known sign-ins, as data. There is none for Anthropic: see the decision record on sign-ins.

A vendor that has not documented that other products may sign in has its preset off: it must be asked for by name and
in full knowledge (``unofficial``), and brings no client id: whoever uses it needs one that they may use.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A vendor's sign-in."""

    name: str
    label: str
    authorize_url: str
    token_url: str
    revoke_url: str = ""
    scopes: tuple[str, ...] = ()
    unofficial: str = ""
    """Why it is off; empty: the vendor documents it for third parties."""


OPENAI: Final = Preset(
    name="openai",
    label="OpenAI sign-in (unofficial)",
    authorize_url="https://auth.openai.com/oauth/authorize",
    token_url="https://auth.openai.com/oauth/token",  # noqa: S106  an address
    scopes=("openid", "profile", "email", "offline_access"),
    unofficial=(
        "OpenAI documents this sign-in for its own programs alone: other programs may be refused at any time,"
        " and an account may be closed for it. Bring a client id that you may use."
    ),
)

PRESETS: Final[Mapping[str, Preset]] = {preset.name: preset for preset in (OPENAI,)}
