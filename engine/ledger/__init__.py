"""The record: an append-only, hash-chained store of everything that was decided and of what it was decided from.

In: records as bytes, with the time they were made. Out: a durable sequence anyone can check. Refused by `LedgerError`:
whatever cannot be made durable. Why in the engine: replay and proof need nothing of the service around it.
"""
