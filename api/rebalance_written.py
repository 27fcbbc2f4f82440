"""The files a rebalance leaves behind.

In: a result and a folder. Out: `certificate.json`, then, once the stand-alone verifier has accepted it,
`orders.json`, `orders.csv`, `decisions/wave-N.json` and `report.html`; for a conflict `infeasible.json` instead of
orders. Guaranteed: no orders file exists unless the certificate beside it was accepted; orders of an earlier run are
removed first. Refused: `UsageError` when the folder cannot be written, SolverError from the verifier. Before:
`report.py`, `proof.py`. After: `cli_rebalance.py`, `rebalance_worker.py`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

from lexorder.api.report import Page, html
from lexorder.engine.errors import UsageError
from lexorder.optimizers.outcome import ORDER_FIELDS, Infeasible, Rebalanced

OURS = ("orders.json", "orders.csv", "infeasible.json", "certificate.json", "report.html")

Verify = Callable[[Path], str]


def written(result: Rebalanced, out: Path, verify: Verify) -> str:
    """Write everything about accepted orders; returns the verifier's words."""
    verdict = _proved(result.certificate, out, verify)
    _text(out / "orders.csv", _csv(result))
    for number, decision in enumerate(result.decisions, 1):
        _json(out / "decisions" / f"wave-{number}.json", decision.to_json())
    _text(out / "report.html", report_of(result, verdict))
    _json(out / "orders.json", result.to_json())
    return verdict


def written_conflict(result: Infeasible, out: Path, verify: Verify) -> str:
    """Write everything about a conflict; returns the verifier's words."""
    verdict = _proved(result.certificate, out, verify)
    _text(out / "report.html", report_of(result, verdict))
    _json(out / "infeasible.json", result.to_json())
    return verdict


def report_of(result: Rebalanced | Infeasible, verdict: str) -> str:
    """The report of orders, or of a conflict, as HTML."""
    title, source = f"Rebalance of {result.account}", f"As of {result.time}."
    if isinstance(result, Infeasible):
        return html(Page(title, source, None, verdict, impossible=result, request="The rules in force."))
    return html(Page(title, source, result, verdict))


def _proved(certificate: str, out: Path, verify: Verify) -> str:
    try:
        (out / "decisions").mkdir(parents=True, exist_ok=True)
        for old in (*(out / name for name in OURS), *(out / "decisions").glob("wave-*.json")):
            old.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError("file-unwritable", f"{out} cannot be written: {error.strerror}") from None
    file = out / "certificate.json"
    _text(file, certificate)
    return verify(file)


def _csv(result: Rebalanced) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, ORDER_FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(order.to_fix() for order in result.orders)
    return buffer.getvalue()


def _json(file: Path, document: object) -> None:
    _text(file, json.dumps(document, indent=2) + "\n")


def _text(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError("file-unwritable", f"{file} cannot be written: {error.strerror}") from None
