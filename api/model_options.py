"""The options of `lexorder rebalance` that choose a model, as a `Model`.

In: options as they were written, None where they were not. Out: a `Model`. Guaranteed: an option is used or refused.
Refused (`UsageError`): what `models.py` refuses, a share that is no number (`bad-setting`), no signals for the native
model (`signals-needed`); `target_file.py` for the weights. Before: `optimizers/models.py`. After: `cli_rebalance.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from lexorder.engine import literals
from lexorder.engine.errors import UsageError
from lexorder.engine.units import RATIO
from lexorder.optimizers.models import Model

AVERSION = 5.0
"""Risk aversion where none is written."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was written: the model's name, its settings, a file of target weights, shares as text."""

    name: str
    settings: Mapping[str, Any]
    target: Path | None
    shares: Mapping[str, str | None]

    @property
    def aversion(self) -> float | None:
        """The risk aversion, where one was written."""
        found: float | None = self.settings["aversion"]
        return found

    def check(self, *, signals: bool) -> None:
        """Nothing when the options make sense before any file is read. Raises UsageError."""
        if self.name == "target_weights" and self.target is None:
            raise UsageError("missing-targets", "target_weights needs --target: a file with the columns symbol, weight")
        model = self._made({"ANY": Fraction(0)} if self.target is not None else None)
        model.refuse_unused([name for name, value in self.settings.items() if value is not None])
        if not signals and (model.is_native or model.weighs_returns):
            raise UsageError("signals-needed", f"{model.name} needs --signals: symbol, expected_return, confidence, …")

    def model(self, symbols: Collection[str]) -> Model:
        """The model, with the target weights of the file. Raises UsageError, SnapshotError."""
        from lexorder.api.target_file import target_weights

        return self._made(None if self.target is None else target_weights(self.target, symbols))

    def _made(self, targets: Mapping[str, Fraction] | None) -> Model:
        return Model(
            self.name,
            risk_measure=self.settings["risk_measure"],
            goal=self.settings["goal"],
            invested=_share("invested", self.shares["invested"]),
            max_weight=_share("max_weight", self.shares["max_weight"]),
            targets=targets,
        )


def _share(name: str, text: str | None) -> Fraction | None:
    """A share as it was written, such as `0.95` or `95%`. Raises UsageError."""
    if text is None:
        return None
    found = literals.told(text, RATIO)
    if not isinstance(found, Fraction):
        option = name.replace("_", "-")
        raise UsageError("bad-setting", f"--{option} is a share such as 0.95 or 95%")
    return found
