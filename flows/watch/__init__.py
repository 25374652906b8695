"""Watching a catalogue: each new acquisition becomes one product, however often it is announced.

In come a `Watch` (where to look, into which store) and a `Submitter`, which starts runs; out come
submissions, proposals to withdraw, and a `WatchReport`. What is in the store counts. The ledger is
a cache beside it: without it nothing is mapped twice. Free of Prefect; open first `watch.py`.

===============  =====================================================================
`watch.py`       one pass over a catalogue: what is new is submitted, the watermark moves
`reconcile.py`   what the catalogue no longer has becomes a proposal to withdraw
`ledger.py`      what was submitted and proposed, in two tables
`costs.py`       what runs took, in a table
`bills.py`       runs whose cost is recorded
`budget.py`      what runs may take: beyond it nothing is submitted
`database.py`    SQLite or PostgreSQL, and what they say when they fail
`news.py`        what a catalogue published since a moment
`debounce.py`    when a mosaic is built after scenes are in
`freshness.py`   whether sources and mosaic are as fresh as they usually are
`judge.py`       what an operator should know: a verdict per subject
`alerts.py`      what is told, when again, and when it is well
`channels.py`    where alerts go
===============  =====================================================================
"""
