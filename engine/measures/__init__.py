"""The measures that regulations define, one file for each subject; importing this package registers them all.

Guaranteed: pure, exact, cited. Before: `measure.py`. After: `measuring.py`, which puts their values among the facts.
"""

from __future__ import annotations

from lexorder.engine.measures import bands as bands
from lexorder.engine.measures import business_days as business_days
from lexorder.engine.measures import buying_power as buying_power
from lexorder.engine.measures import circuit_breakers as circuit_breakers
from lexorder.engine.measures import day_trades as day_trades
from lexorder.engine.measures import holdings as holdings
from lexorder.engine.measures import intraday_margin as intraday_margin
from lexorder.engine.measures import lockouts as lockouts
from lexorder.engine.measures import maintenance as maintenance
from lexorder.engine.measures import offerings as offerings
from lexorder.engine.measures import option_cover as option_cover
from lexorder.engine.measures import orders as orders
from lexorder.engine.measures import prices as prices
from lexorder.engine.measures import short_sales as short_sales
from lexorder.engine.measures import unsettled as unsettled
