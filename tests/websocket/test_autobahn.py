"""The cases of the Autobahn test suite, played by kosoku, which brings them for Python 3.

Left out are the limits (9) and the compression (12, 13) of large messages, which take minutes and
gigabytes: of each kind the small ones are here.
"""

import importlib.util
import json
import subprocess
import sys
from typing import Any

import pytest

SECTIONS = {
    "framing": ["1.*"],
    "pings and pongs": ["2.*"],
    "reserved bits and opcodes": ["3.*", "4.*"],
    "fragmentation": ["5.*", "10.*"],
    "UTF-8": ["6.*"],
    "closing": ["7.*"],
    "limits": ["9.1.1", "9.1.2", "9.2.1", "9.2.2", "9.3.8", "9.4.8", "9.5.6", "9.6.6"],
    "compression": [f"{kind}.{n}" for kind in ("12.1", "12.2") for n in (1, 3, 11)],
    "agreement": [f"13.{kind}.{n}" for kind in range(1, 8) for n in (1,)],
}
PLAY = """
import asyncio, json, os, sys
import kosoku
try:
    results = asyncio.run(
        kosoku.run_fuzzingclient(sys.argv[1], cases=json.loads(sys.argv[2]), concurrency=4)
    )
except kosoku.FailureError as error:
    results = error.results
print(json.dumps([
    [case.case_id, case.behavior.value, case.behavior_close.value, case.result, case.result_close]
    for case in results
]), flush=True)
os._exit(0)  # its threads do not always survive an ordinary end
"""


@pytest.mark.skipif(importlib.util.find_spec("kosoku") is None, reason="kosoku is not installed")
@pytest.mark.parametrize("section", SECTIONS)
def test_section(serve: Any, section: str) -> None:
    served = serve(max_message_size=64 << 20, max_queued=256 << 20, compress_from=0)
    command = [sys.executable, "-c", PLAY, f"ws://{served.server.address}"]
    done = subprocess.run(
        [*command, json.dumps(SECTIONS[section])], capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results
    fine = {"OK", "NON-STRICT", "INFORMATIONAL"}
    assert [result for result in results if not {*result[1:3]} <= fine] == []
