"""Memory that is held is told from memory that the C library keeps for later."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MEASURED = """
import json
from probes.bench.resident import kept, resident

before = kept()
# Blocks that come from the heap, every tenth of which stays: what is freed between them does not end the heap.
blocks = [b"\\x01" * 65_536 for _ in range(1_000)]
held = kept()
stay = blocks[::10]
del blocks
reserved = resident()
left = kept()
print(json.dumps({"held": held - before, "reserved": reserved - before, "left": left - before}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc is asked to hand freed memory back")
def test_what_was_freed_is_not_counted_and_what_stays_is():
    run = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    block = 65_536
    assert 1_000 * block <= found["held"] < 1_050 * block
    assert 100 * block <= found["left"] < 150 * block
    assert found["left"] <= found["reserved"]
