"""How good a map is at field samples: matched, brought to one method, scored, reported.

Takes a store or an export and a table of field samples, returns scores with intervals and a report.
`deepsalt.validate` is another room: it checks what a tile must hold, without any ground truth.

Open `assess.py` first, the whole of `deepsalt validate`; then `match.py` (samples to cells),
`methods.py` (which labels compare with the map), `blocks.py` (what is drawn together) and
`scores.py`.
"""
