"""The decision service: HTTP in front of a desk, with a durable record of everything it answers.

In: requests of an OMS, a portfolio team, risk staff. Out: decisions, each recorded before it is answered. Refused: what
`problems.py` lists, as problem documents. Why a package: everything here may read a clock and a network, nothing in
`engine/` may.
"""
