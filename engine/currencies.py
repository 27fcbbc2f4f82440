"""The ISO 4217 codes of currencies in circulation.

In: nothing. Out: `CURRENCIES`. Guaranteed: closed, so `25_000 USB` is an error and not an unknown fact.
Why a list here and not a package: the rule language must not change when a library is updated.
Before: nothing. After: `parse.py`, `names.py`.
"""

from __future__ import annotations

_CODES = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD "
    "CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD "
    "GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT "
    "LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR "
    "NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP "
    "STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF "
    "XPF YER ZAR ZMW ZWG "
)
CURRENCIES = frozenset(_CODES.split())
"""Codes that a money literal and a name under `fx.` may use."""

MAJOR = ("USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "HKD", "SEK", "SGD")
"""Those that a misspelling is most likely meant to be; suggested first."""
