"""Everything in one process: the composition root of `localrouter up`, and the nats-server it keeps."""

# Before any other room is imported: it keeps structlog from loading rich, 5 MB that an idle process would carry.
from shared.runtime import logging as logging
