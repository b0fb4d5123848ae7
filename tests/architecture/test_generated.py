"""What is generated from the code is what the code says now."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_generated_files_are_fresh() -> None:
    # A stale page is worse than none; `make docs` writes them all.
    command = [sys.executable, "-m", "docs.generate", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
