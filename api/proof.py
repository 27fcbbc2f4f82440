"""The stand-alone verifier, run as a stranger would run it.

In: a certificate file. Out: the verifier's own words. Guaranteed: `engine/verify.py` runs in a bare interpreter of
its own (`python -I`), so that nothing of lexorder is imported there. Refused (`SolverError`): a certificate it does
not accept. Before: `engine/verify.py`. After: `cli_rebalance.py`, `demo_tour.py`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lexorder.engine.errors import SolverError

SECONDS = 120


def verifier(certificate: Path) -> str:
    """What the verifier says about a certificate it accepts. Raises SolverError with its words otherwise."""
    import lexorder.engine

    script = Path(str(lexorder.engine.__file__)).with_name("verify.py")
    command = [sys.executable, "-I", str(script), str(certificate)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)  # noqa: S603
    said = (done.stdout + done.stderr).strip()
    if done.returncode != 0:
        raise SolverError("certificate-refused", f"the verifier refused {certificate.name}: {said[:300]}")
    return said
