#!/bin/sh
# Starts nats-server on its encrypted store, if the key is the store's own. With another key the server would look
# healthy and empty, and making a stream would then erase the files.
set -eu
secrets=/run/localrouter
if [ "$(cat "$secrets/key-id")" != "$(cat /data/store/key-check)" ]; then
    echo "nats: the key is not the one that /data/store was written with: restore volumes from the same backup" >&2
    exit 1
fi
LR_JS_KEY=$(cat "$secrets/store-key")
export LR_JS_KEY GOMEMLIMIT=200MiB
exec nats-server -c "$secrets/nats.conf"
