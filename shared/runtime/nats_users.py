"""Who may do what on nats-server: one user per service, and for each the subjects it owns.

Wildcards stand for whole tokens, so rights are by stream: https://docs.nats.io/nats-concepts/subjects
"""

from typing import Final

from shared.log.port import BUCKETS, CATALOG, LEASES, PLANS, RESTORING, SECRETS, STREAMS

BOOTSTRAP: Final = "bootstrap"
SYSTEM: Final = "system"
BACKUP: Final = "backup"
"""Copies whole streams."""
RESTORE: Final = "restore"
"""Makes whole streams from copies, in a log that is empty."""

_OWN: Final[dict[str, tuple[str, ...]]] = {
    "gateway": ("lr.config.key.>", "lr.config.settings.>", "lr.config.name.key.>", "lr.usage.>", f"$KV.{SECRETS}.>"),
    "router": ("lr.config.router.>", "lr.config.name.router.>", "lr.facts.plan.>", f"$KV.{PLANS}.>"),
    "providers": (
        "lr.config.provider.>",
        "lr.config.name.provider.>",
        "lr.config.prices.>",
        "lr.config.alias.>",
        "lr.config.name.alias.>",
        "lr.facts.catalog.>",
        "lr.facts.prices.>",
        "lr.health.>",
        f"$KV.{CATALOG}.>",
        f"$KV.{SECRETS}.>",
    ),
    "metrics": ("lr.dead.>", "lr.facts.speed.>"),
}
"""What each service writes; leases are everybody's."""

SERVICES: Final = tuple(_OWN)
USERS: Final = (SYSTEM, BOOTSTRAP, BACKUP, RESTORE, *SERVICES)


def publish_rights(user: str) -> list[str]:
    """Return the subjects that a user may publish to."""
    if user == BOOTSTRAP:
        return ["$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.NAMES"]
    if user == BACKUP:
        api = [f"$JS.API.STREAM.{call}.*" for call in ("SNAPSHOT", "INFO")]
        return [*api, "$JS.API.STREAM.NAMES", "$JS.SNAPSHOT.ACK.>"]
    if user == RESTORE:
        # it takes back what a former try left behind
        api = [f"$JS.API.STREAM.{call}.*" for call in ("RESTORE", "INFO", "DELETE")]
        return [*api, f"$JS.API.STREAM.CREATE.{RESTORING}", "$JS.API.STREAM.NAMES", "$JS.SNAPSHOT.RESTORE.>"]
    own = _OWN[user]
    rights = [*own, f"$KV.{LEASES}.>", "$JS.API.STREAM.NAMES"]
    sealed = f"$KV.{SECRETS}.>" in own
    for stream in (*STREAMS, *(f"KV_{name}" for name in BUCKETS if sealed or name != SECRETS)):
        rights += [
            f"$JS.API.STREAM.INFO.{stream}",
            f"$JS.API.DIRECT.GET.{stream}",
            f"$JS.API.CONSUMER.CREATE.{stream}.>",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
        ]
    return rights


def subscribe_rights(user: str) -> list[str]:
    """Return the subjects that a user may subscribe to: its own answers."""
    return [f"_INBOX_{user}.>"]
