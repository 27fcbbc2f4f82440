"""Ready before it is asked: what the evaluators work out at the first order of an account, worked out beforehand.

In: a desk, right after it was made. Out: nothing but time saved. Guaranteed: nothing is recorded and nothing changes;
the loop answers requests between two accounts; a desk that was replaced is left alone. Refused: nothing; an account
that cannot be asked about is passed by. Before: `floor.py`. After: `service.py`.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Sequence
from fractions import Fraction

import structlog

from lexorder.engine.desk import Desk
from lexorder.engine.facts import load_order, plain
from lexorder.engine.rule import Facts

PAUSE_S = 0.002
"""Between two accounts, for whoever waits."""

COLLECTING = (20_000, 20, 1_000)
"""When the interpreter looks for cycles, by generation: a look at everything stops orders for a fifth of a second, and
there is next to nothing to find, since what an order leaves behind dies young."""

log = structlog.get_logger("lexorder.warming")


def probe(desk: Desk, account: str) -> Facts | None:
    """An order for one share of something the account holds, or of anything; None where nothing has a mark."""
    held = desk.tables.positions.get(account) or desk.instruments
    for symbol in held:
        mark = desk.instruments.get(symbol, {}).get("instrument.mark")
        if isinstance(mark, Fraction) and mark > 0:
            raw = {"id": "warming", "account": account, "symbol": symbol, "side": "buy", "quantity": "1"}
            return load_order({**raw, "ord_type": "limit", "price": plain(mark)}, desk.vocabulary)
    return None


async def warm(desk: Desk, current: Callable[[], Desk | None], more: Sequence[Callable[[], object]] = ()) -> int:
    """Ask about each account once while `current` gives this desk; how many were asked about.

    Then `more`: what else is worked out at its first use, such as the columns of batches.
    """
    asked = 0
    for account in list(desk.accounts):
        if current() is not desk:
            return asked
        order = probe(desk, account)
        if order is not None:
            try:
                desk.check(order)
            except Exception as error:  # it will be told when somebody really asks
                log.warning("not-warmed", kind=type(error).__name__)
            asked += 1
        await asyncio.sleep(PAUSE_S)
    for work in more:
        try:
            work()
        except Exception as error:  # as above
            log.warning("not-warmed", kind=type(error).__name__)
        await asyncio.sleep(PAUSE_S)
    gc.collect()
    gc.freeze()  # what was built stays: no later collection need look at it
    gc.set_threshold(*COLLECTING)
    log.info("warmed", accounts=asked)
    return asked
