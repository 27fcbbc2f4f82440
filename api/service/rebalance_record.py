"""How a rebalance stands in the ledger, and what of it who is not of compliance reads there.

In: a `Task` and its `Result`, or the body of a record. Out: the body, or the `Result` again. Guaranteed: what was
recorded is read back as it was, in full and as shown to others; a record that does not say what may be shown shows
nothing. Refused: nothing. Why the certificate for others is not kept beside the other: it is the same but for one hash,
and long. Before: `rebalance_worker.py`, `rebalance_shown.py`. After: `rebalancing.py`, `views.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from lexorder.api.rebalance_shown import ZEROS
from lexorder.api.service.rebalance_worker import Result, Task
from lexorder.engine.quantity import exact
from lexorder.optimizers.models import decimal_text

TOLD = ("outcome", "certificate", "report", "verdict")
"""Keys of a body that hold the result, and that `shown` has for others."""


def asked_for(task: Task) -> dict[str, Any]:
    """What was asked: model, library, version, settings, aims and weights; of past returns the hash, for they are long.

    With the facts of the snapshot, which are records too, that is all a rebalance is made of.
    """
    model = task.model
    targets = None if model.targets is None else {symbol: exact(weight) for symbol, weight in model.targets.items()}
    returns = None if task.returns is None else sha256(json.dumps(task.returns).encode()).hexdigest()
    aims = {name: decimal_text(value) for name, value in task.aims.items()}
    found = {"model": model.told(task.aims.get("aversion")), "aims": aims, "strict": task.strict}
    return {**found, "targets": targets, "returns_sha256": returns}


def recorded(result: Result) -> dict[str, Any]:
    """The result as part of a record's body."""
    shown = result.shown
    others = {**_told(shown), "certificate": bool(shown.certificate)}
    return {"status": result.status, **_told(result), "shown": others}


def result_of(body: Mapping[str, Any]) -> Result:
    """The result in the body of a record, with what others may read of it."""
    others = others_of(body)
    status = body["status"]
    return replace(_result(status, body), others=_result(status, others))


def others_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """What `TOLD` holds for who is not of compliance; nothing where the record does not say."""
    shown = body.get("shown")
    if not isinstance(shown, Mapping):
        return {"outcome": {}, "certificate": "", "report": "", "verdict": ""}
    whole = str(body.get("certificate", "")) if shown.get("certificate") else ""
    return {**shown, "certificate": whole.replace(str(body["snapshot_hash"]), ZEROS)}


def _told(result: Result) -> dict[str, Any]:
    return dict(zip(TOLD, (result.document, result.certificate, result.report, result.verdict), strict=True))


def _result(status: str, told: Mapping[str, Any]) -> Result:
    certificate, report, verdict = (str(told.get(key, "")) for key in TOLD[1:])
    return Result(status, dict(told["outcome"]), certificate, report, verdict)
