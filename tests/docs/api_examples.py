"""What `docs/api.md` says: sections, prose and the commands whose real answers stand below them.

A command is run by bash with `$URL`, `$JSON` and a header for each person: `$ADMIN`, `$RISK` and `$SECOND` (two risk
officers), `$TRADER`. A line that begins with `@` is prose, one with `=NAME=` keeps what a command prints in a variable.
"""

from __future__ import annotations

POST = 'curl -s -H "$JSON"'

OVERVIEW = """\
# The API of the decision service

`lexorder serve` answers HTTP under `/v1`; `/openapi.json` describes every route (OpenAPI 3.1) and `/docs` shows it in a browser. This
page is made by running every command below against a service (`python -m tests.docs.api_page > docs/api.md`), and a test runs them again.
`…` stands for what differs from run to run, or for the rest of a long line.

* **Amounts are decimal strings**, in both directions: `"100.25"`, never `100.25`. There is [one way to write them](snapshot.md); `"1_000"`, `"1e3"` or
  `"+1"` are `bad-value` at every address.
* **Keys**: `Authorization: Bearer lx_…`. Roles and who may do what: [security](security.md). In the examples `$ADMIN`, `$RISK`, `$SECOND` and
  `$TRADER` are such headers, of four people; `$JSON` is `Content-Type: application/json`.
* **Refusals** are problem documents (RFC 9457, `application/problem+json`) with a stable `code` ([all codes](codes.md)); nothing that was sent is
  repeated. `instance` is the request id: your `X-Request-Id`, or one of ours. A parameter or key that is not there is refused, never overlooked.
* **An approved order counts as working from that moment on**, until `/v1/working-orders` or `/v1/fills` tell more about it. `?reserve=false`
  decides and records without that. So two orders of one account that arrive together are never both given the room that is there for one.
* **Repeat safely**: with an `Idempotency-Key` the same check of an order gives the same decision, also years later, because the key is kept with
  the record. The header `Idempotent-Replayed: true` then says so: **it is what was decided then, not what holds now**. An approval from before a
  halt, a fill or a change of rules is told again as an approval, since the order it was given to may be out in the market. Whoever does
  not know whether the order went out asks `GET /v1/trading-state` before it sends it. The same key with another order, or with another
  `reserve`, is `idempotency-key-reused`; the newest 20,000 keys are compared with every order, older ones and those from before a restart with orders of the
  same id. A batch takes no key: an order that was approved counts as working, so the same id is refused as `DUPLICATE_ORDER` the second time.
* **A decision leaves only when its record is durable.** `recorded` says where it is. When nothing can be recorded, the answer is 503 and nothing
  is approved.
* **Undecided means no**: a fact that is missing, too old, or from a feed with a gap; an account that no rule covers (`NO_RULE`).
* **Lists come in pages**: `limit` (10,000 at most), and `cursor`, which is the `next` of the page before; `next` is null on the last one, and `count`
  counts all pages. They are sorted by names, so that whatever stays is told once while other things come and go. With several workers
  `next_by_worker` has a cursor for each: ask on with `?shard=`. In Python `client.every(calls.positions())` does all that. What a limit's check counts
  in `breaches` is of all pages as well. Two lists are short and come whole: the seven feeds of `/v1/feeds`, the workers of `/v1/shards`.
* Traders read decisions without hashes and without anything that betrays a watch list or a reason on a list; risk staff read them in full.
"""

SECTIONS: list[tuple[str, list[str]]] = [
    (
        "Probes",
        [
            "@`/healthz` says that the process lives, `/readyz` that an order would be decided and recorded now; `empty` that no account is known yet, so that it would be refused.",
            "curl -s $URL/../healthz",
            "curl -s $URL/../readyz",
            'curl -s -H "$ADMIN" $URL/../metrics | grep ^lexorder_ledger_failed',
            "@The workers of a service that runs with `--workers`: an account's orders are decided by one of them, which answers fastest "
            "when it is asked itself. Any other forwards.",
            'curl -s -H "$ADMIN" $URL/shards',
        ],
    ),
    (
        "State",
        [
            "@A snapshot document (see [snapshot](snapshot.md)) replaces everything known. `sequences` may say where feeds go on.",
            f'{POST} -H "$ADMIN" --data-binary @docs/examples/snapshot.json $URL/snapshot',
            'curl -s -H "$ADMIN" $URL/snapshot',
            "@Then events, feed by feed. Each batch has an `event_id` (told twice, it is taken once) and, if you number them, a `sequence`. A "
            "batch is taken whole or not at all. After a gap the batch is refused with the number expected, and until the missing ones, or "
            'the feed as a whole (`"whole": true`), arrive, every rule that reads the feed is undecided.',
            f"""{POST} -H "$ADMIN" -d '{{"event_id": "p-1", "sequence": 1, "items": [{{"symbol": "BETA", "mark": "40.50"}}]}}' $URL/prices""",
            f"""{POST} -H "$ADMIN" -d '{{"event_id": "p-1", "sequence": 1, "items": [{{"symbol": "BETA", "mark": "40.50"}}]}}' $URL/prices""",
            f"""{POST} -H "$ADMIN" -d '{{"event_id": "p-3", "sequence": 3, "items": [{{"symbol": "BETA", "mark": "41"}}]}}' $URL/prices""",
            'curl -s -H "$ADMIN" $URL/feeds',
            f"""{POST} -H "$ADMIN" -d '{{"event_id": "p-2", "sequence": 2, "items": [{{"symbol": "BETA", "mark": "40.75"}}]}}' $URL/prices""",
            f"""{POST} -H "$ADMIN" -d '{{"event_id": "p-3b", "sequence": 3, "items": [{{"symbol": "BETA", "mark": "41"}}]}}' $URL/prices""",
            'curl -s -H "$ADMIN" "$URL/prices?symbol=BETA"',
            "@Accounts, traders and strategies:",
            f"""{POST} -H "$ADMIN" -d '{{"event_id": "a-1", "items": [{{"id": "ACC-1", "orders_today": "2"}}], "traders": [{{"id": "T-1", "role": "senior_trader"}}]}}' $URL/accounts""",
            'curl -s -H "$ADMIN" $URL/accounts',
            "@Holdings are absolute; fills move holdings and cash, and shrink the working order they name:",
            f"""{POST} -H "$ADMIN" -d '{{"event_id": "h-1", "items": [{{"account": "ACC-1", "symbol": "BETA", "quantity": "6100"}}]}}' $URL/positions""",
            'curl -s -H "$ADMIN" "$URL/positions?account=ACC-1&symbol=BETA"',
            f"""{POST} -H "$ADMIN" -d '{{"event_id": "f-1", "items": [{{"id": "F-1", "account": "ACC-1", "symbol": "ACME", "side": "sell", "quantity": "40", "price": "103", "order": "W-7", "fee": "0.40", "time": "2026-11-20T10:59:00-05:00"}}]}}' $URL/fills""",
            'curl -s -H "$ADMIN" "$URL/fills?account=ACC-1"',
            f"""{POST} -H "$ADMIN" -d '{{"event_id": "w-1", "items": [{{"id": "W-7", "action": "remove"}}]}}' $URL/working-orders""",
            'curl -s -H "$ADMIN" $URL/working-orders',
            '@Lists with the days on which an entry counts (both included); the reason stays with compliance. A name that no rule reads and nobody told before is `unknown-list`, so that a misspelt one does not leave the rules with the old entries; a list that rules will read later is begun with `"new": true` in its row:',
            f"""{POST} -H "$RISK" -d '{{"event_id": "l-1", "items": [{{"list": "restricted", "entries": [{{"name": "ACME.B", "from": "2026-11-01", "until": "2026-12-31", "reason": "underwriting"}}]}}]}}' $URL/lists""",
            'curl -s -H "$RISK" $URL/lists',
            f"""{POST} -H "$ADMIN" -d '{{"event_id": "s-1", "items": [{{"id": "S-1", "symbol": "BETA", "account": "ACC-1", "direction": "long", "expected_return": "2%", "confidence": "80%", "timeframe": "1d"}}]}}' $URL/signals""",
            'curl -s -H "$ADMIN" $URL/signals',
        ],
    ),
    (
        "Orders",
        [
            "@May this order go out?",
            f"""{POST} -H "$TRADER" -H "Idempotency-Key: k-1" -d '{{"id": "O-1", "account": "ACC-1", "symbol": "ACME", "side": "buy", "quantity": "50", "price": "100", "trader": "T-1"}}' $URL/orders/check""",
            "@The same request with the same key gives the same decision, marked as told again, and reserves nothing a second time:",
            f"""{POST} -H "$TRADER" -H "Idempotency-Key: k-1" -d '{{"id": "O-1", "account": "ACC-1", "symbol": "ACME", "side": "buy", "quantity": "50", "price": "100", "trader": "T-1"}}' $URL/orders/check -D - | grep -iE '^idempotent|outcome' | cut -c1-25""",
            "@A refusal names every rule that objects, its figures, and the largest quantity that would pass; `OrdRejReason` is FIX tag 103:",
            f"""{POST} -H "$RISK" -d '{{"id": "O-2", "account": "ACC-1", "symbol": "ACME", "side": "buy", "quantity": "500", "price": "100", "trader": "T-1"}}' $URL/orders/what-if""",
            f"""{POST} -H "$ADMIN" -d '{{"id": "O-2", "account": "ACC-1", "symbol": "ACME", "side": "buy", "quantity": "500", "price": "100", "trader": "T-1"}}' $URL/orders/check | tr , '\\n' | grep -E 'outcome|message|max_order'""",
            "@`what-if` tells every rule with its figures, holdings and cash in every fill state, and the headroom; nothing is recorded. "
            "`check-batch` takes up to 10,000 orders: `cumulative` (each approved one counts for those behind it), `independent`, or `basket` "
            "(all of an account together, all or none):",
            f"""{POST} -H "$TRADER" -d '{{"mode": "cumulative", "orders": [{{"id": "B-1", "account": "ACC-1", "symbol": "ACME", "side": "buy", "quantity": "10", "price": "100", "trader": "T-1"}}, {{"id": "B-2", "account": "ACC-1", "symbol": "ACME.B", "side": "buy", "quantity": "10", "price": "50", "trader": "T-1"}}]}}' $URL/orders/check-batch""",
        ],
    ),
    (
        "Limits",
        [
            "@A limit is a rule with dated figures. `kind` is ready-made, or give `require` in the [rule language](language.md) with `limit` as the "
            "name of the figure. It decides once a second person approved it; `version` makes sure that it is the one that was read.",
            f"""{POST} -H "$RISK" -d '{{"id": "acme-cap", "kind": "position-value", "values": {{"2026-01-01": "36000"}}, "severity": "soft", "override": {{"roles": ["risk_officer"], "approvers": 1, "expires": "1 day"}}, "cite": "Risk committee 2026-11"}}' $URL/limits""",
            f'{POST} -H "$RISK" -X POST $URL/limits/acme-cap/approve',
            f'{POST} -H "$SECOND" -X POST "$URL/limits/acme-cap/approve?version=1"',
            f'{POST} -H "$RISK" -X POST $URL/limits/acme-cap/check',
            f"""{POST} -H "$RISK" -X PUT -d '{{"kind": "position-value", "values": {{"2026-01-01": "37000"}}, "severity": "soft"}}' $URL/limits/acme-cap""",
            f'{POST} -H "$SECOND" -X POST $URL/limits/acme-cap/reject',
            'curl -s -H "$RISK" $URL/limits/acme-cap',
            'curl -s -H "$RISK" $URL/limits',
            'curl -s -H "$RISK" $URL/limits/acme-cap/history',
            "@What is broken now, order or no order:",
            'curl -s -H "$RISK" "$URL/breaches?account=ACC-1&wait=10"',
            "@The monitor notices breaches by itself (docs/operations.md); when they began and ended, from the ledger:",
            'curl -s -H "$RISK" "$URL/breaches?ended=true&rule=max-issuer-weight&limit=1"',
        ],
    ),
    (
        "Overrides",
        [
            "@A soft breach needs an override, asked for by one person and granted by others; then the order is decided again, and counts as "
            "working when only what was overridden is left.",
            f"""{POST} -H "$TRADER" -d '{{"id": "O-3", "account": "ACC-1", "symbol": "ACME", "side": "buy", "quantity": "60", "price": "100", "trader": "T-1"}}' $URL/orders/check | tr , '\\n' | grep -E 'outcome|"reason"|message'""",
            f"""{POST} -H "$TRADER" -d '{{"reason": "client mandate"}}' $URL/orders/O-3/override""",
            '=OVERRIDE=curl -s -H "$RISK" $URL/overrides | grep -o \'"id":"[^"]*"\' | head -1 | cut -d\'"\' -f4',
            'curl -s -H "$RISK" $URL/overrides',
            'curl -s -H "$RISK" $URL/overrides/$OVERRIDE',
            f'{POST} -H "$RISK" -X POST $URL/overrides/$OVERRIDE/approve',
            "@Turning one down:",
            f"""{POST} -H "$TRADER" -d '{{"id": "O-4", "account": "ACC-1", "symbol": "ACME", "side": "buy", "quantity": "1", "price": "100", "trader": "T-1"}}' "$URL/orders/check?reserve=false" | tr , '\\n' | grep outcome""",
            f"""{POST} -H "$TRADER" -d '{{"reason": "again"}}' $URL/orders/O-4/override | cut -c1-20""",
            '=OVERRIDE=curl -s -H "$RISK" "$URL/overrides?state=open" | grep -o \'"id":"[^"]*"\' | head -1 | cut -d\'"\' -f4',
            f'{POST} -H "$RISK" -X POST $URL/overrides/$OVERRIDE/reject',
        ],
    ),
    (
        "The end of a limit",
        [
            "@Ending a limit is asked for by one person and approved by another, too:",
            'curl -s -X DELETE -H "$RISK" $URL/limits/acme-cap',
            f'{POST} -H "$SECOND" -X POST $URL/limits/acme-cap/approve',
        ],
    ),
    (
        "Rule books",
        [
            '@Upload, lint, test, ask, approve: a book decides once its own examples pass and a second person agreed. `"base": "library"` adds the '
            "shipped library.",
            f"""{POST} -H "$RISK" -d '{{"files": {{"a.yaml": "- rule: tiny\\n  title: Tiny\\n  for_each: order\\n  require: order.quantitee <= 10\\n"}}}}' $URL/rulebooks/lint""",
            f"""{POST} -H "$RISK" -d '{{"name": "desk of November", "base": "library", "files": {{"a.yaml": "- rule: tiny\\n  title: At most 1,000 shares\\n  for_each: order\\n  require: order.quantity <= 1000\\n"}}}}' $URL/rulebooks""",
            '=BOOK=curl -s -H "$RISK" $URL/rulebooks | grep -o \'"id":"[0-9a-f]*","name":"desk of November"\' | cut -d\'"\' -f4',
            'curl -s -H "$RISK" $URL/rulebooks',
            'curl -s -H "$RISK" $URL/rulebooks/$BOOK | cut -c1-80',
            f'{POST} -H "$RISK" -X POST $URL/rulebooks/$BOOK/lint',
            f'{POST} -H "$RISK" -X POST $URL/rulebooks/$BOOK/test | cut -c1-60',
            f'{POST} -H "$RISK" -X POST $URL/rulebooks/$BOOK/activate | cut -c1-90',
            f'{POST} -H "$SECOND" -X POST $URL/rulebooks/$BOOK/reject | cut -c1-90',
            f'{POST} -H "$RISK" -X POST $URL/rulebooks/$BOOK/activate | cut -c1-90',
            f'{POST} -H "$SECOND" -X POST $URL/rulebooks/$BOOK/approve | cut -c1-90',
            'curl -s -H "$RISK" $URL/rulebooks/active',
            'curl -s -H "$RISK" $URL/rulebooks/history',
        ],
    ),
    (
        "Rebalances",
        [
            "@Signals and holdings to whole-share orders with a certificate, or the smallest set of rules that makes it impossible. Small ones are "
            'answered at once; otherwise, and with `"wait": false`, the answer is 202 with a `Location`, and `/events` tells the progress as '
            "server-sent events.",
            f"""{POST} -H "$ADMIN" -d '{{"account": "ACC-1", "trader": "T-1"}}' $URL/rebalances""",
            '=JOB=curl -s -H "$ADMIN" $URL/rebalances | cut -d\'"\' -f6',
            'curl -s -H "$ADMIN" $URL/rebalances',
            'curl -s -H "$ADMIN" $URL/rebalances/$JOB | cut -c1-20',
            'curl -s -H "$ADMIN" $URL/rebalances/$JOB/events | head -5',
            'curl -s -H "$ADMIN" $URL/rebalances/$JOB/report | head -2',
            "@`model` chooses what steers it: `mean_variance` by itself, `max_utility` (PyPortfolioOpt), `mean_risk` or `risk_parity` (Riskfolio-Lib, "
            "both with `returns`), or `target_weights`, your own. Who proposed, the version and the certified distance stand in the outcome and in "
            "the record; settings, needs and refusals: [rebalancing](rebalancing.md).",
            f"""{POST} -H "$ADMIN" -d '{{"account": "ACC-1", "trader": "T-1", "model": "target_weights", "targets": {{"ACME": "0.02", "BETA": "0.03"}}}}' $URL/rebalances | grep -oE '"model":{{[^}}]*}}|"statement":"[^"]*"|"proposed_weight":"0.02"'""",
            f"""{POST} -H "$ADMIN" -d '{{"account": "ACC-1", "trader": "T-1", "model": "risk_party"}}' $URL/rebalances""",
            f"""{POST} -H "$ADMIN" -d '{{"account": "ACC-1", "trader": "T-1", "model": "risk_parity", "risk_measure": "CVaR"}}' $URL/rebalances""",
            "@The certificate is checked by `engine/verify.py`, by anyone, without lexorder; here the service runs that script:",
            "=CERTIFICATE=curl -s -H \"$ADMIN\" $URL/rebalances/$JOB/certificate | sed 's/\"/\\\\\"/g' | tr -d '\\n'",
            f'echo "{{\\"certificate\\": \\"$CERTIFICATE\\"}}" | {POST} -H "$ADMIN" --data-binary @- $URL/certificates/verify | cut -c1-80',
            "@One that is under way or waits for its turn can be taken back: it ends without orders, whatever the solver still says, and its record "
            "says by whom. One that has ended is `already-ended`; its orders were proposals only. Who is not of compliance reads outcome, certificate "
            "and report without the hash of the snapshot and without rules for compliance alone; where such a rule stands in a certificate, that is "
            "`for-compliance`.",
            f"""=JOB=for n in 1 2 3; do {POST} -H "$TRADER" -d '{{"account": "ACC-1", "trader": "T-1", "wait": false}}' $URL/rebalances; done | grep -o 'r-[0-9a-f]*' | tail -1""",
            'curl -s -X DELETE -H "$TRADER" $URL/rebalances/$JOB',
        ],
    ),
    (
        "Trading states",
        [
            "@The kill switch works from the moment its call is answered; a state is lifted by risk officers only.",
            f"""{POST} -H "$TRADER" -d '{{"scope": "account", "id": "ACC-1", "reason": "runaway algorithm"}}' $URL/kill""",
            f"""{POST} -H "$TRADER" -d '{{"id": "O-5", "account": "ACC-1", "symbol": "ACME", "side": "sell", "quantity": "1", "price": "100", "trader": "T-1"}}' $URL/orders/check | tr , '\\n' | grep -E 'outcome|message'""",
            'curl -s -H "$RISK" $URL/trading-state',
            f"""{POST} -H "$RISK" -d '{{"scope": "account", "id": "ACC-1", "state": "ACTIVE", "reason": "explained"}}' $URL/trading-state""",
        ],
    ),
    (
        "Records",
        [
            'curl -s -H "$RISK" "$URL/decisions?order=O-1"',
            '=ID=curl -s -H "$RISK" "$URL/decisions?order=O-1" | grep -o \'"id":"[0-9]*-[0-9]*"\' | head -1 | cut -d\'"\' -f4',
            'curl -s -H "$RISK" $URL/decisions/$ID',
            "@The ledger's head, that a record is under it, that an older head is a beginning of a newer one, and all of it computed again:",
            'curl -s -H "$RISK" $URL/ledger/head',
            'curl -s -H "$RISK" "$URL/ledger/proof?seq=3&size=8"',
            'curl -s -H "$RISK" "$URL/ledger/consistency?old=4&new=8"',
            f'{POST} -H "$RISK" -X POST $URL/ledger/verify',
            '@`GET /v1/stream` is a WebSocket: send `{"topics": ["decisions"], "from": 17}`, then read one message for each record, from the ledger '
            "first and then live. Topics: `decisions`, `breaches`, `state`, `feeds`. A reader that falls 1,000 records behind is told "
            '`{"error": "slow-reader", "resume_from": N}` and cut; nothing waits for it. A role follows only what it may also GET. With several workers say `"shard"` with `"from"`, at that worker\'s own '
            "door (421 `misdirected` otherwise): each numbers its own records.",
        ],
    ),
    (
        "People and keys",
        [
            f"""{POST} -H "$ADMIN" -d '{{"role": "observer", "name": "wall board", "owner": "ops@example.com", "lifetime_s": 86400}}' $URL/keys""",
            'curl -s -H "$ADMIN" $URL/keys',
            '=KEY=curl -s -H "$ADMIN" $URL/keys | grep -o \'"id":"[a-z0-9]*","name":"wall board"\' | cut -d\'"\' -f4',
            'curl -s -X DELETE -H "$ADMIN" $URL/keys/$KEY',
            "@Who stands behind an account or a trader is sealed with the key in `LEXORDER_PII_KEY`, kept apart from all facts, and read by risk "
            "officers and admins only:",
            f"""{POST} -H "$ADMIN" -X PUT -d '{{"name": "Ada Example", "email": "ada@example.com"}}' $URL/accounts/ACC-1/person""",
            'curl -s -H "$RISK" $URL/accounts/ACC-1/person',
            f"""{POST} -H "$ADMIN" -X PUT -d '{{"name": "Bob Example"}}' $URL/traders/T-1/person""",
            'curl -s -H "$TRADER" $URL/traders/T-1/person',
        ],
    ),
]
