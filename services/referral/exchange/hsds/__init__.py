"""The directory as HSDS 3 (Open Referral): read, checked, taken, and given back.

`kinds` holds the facts of the format, `fields` checks one object, `graph` holds many, `documents`,
`packages` and `packing` read and write JSON and CSV, `mapping` makes offers of it and `telling`
makes it of offers, `confidential` takes out where shelters are. Only `store`, `taking`, `giving`
and `api` know a database. Field names and codes are those of the specification at
docs.openreferral.org (3.0, with `service_capacity`, `unit` and `url` of the draft of 3.1); no text
of it is copied.
"""
