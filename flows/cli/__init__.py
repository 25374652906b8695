"""The `deepsalt` command: parses arguments, calls `flows` and the library, prints text or JSON.

One file per verb, with the verb's options and what it prints; `mosaic/` has those of `mosaic`,
`models/` those from samples to models, `service/` those of the service. Options and phrases that
verbs share are in `shared/`. A verb imports what it works with when it is called, so that the
command starts quickly and Prefect is loaded only when asked for. Open `app.py` first, which joins
the verbs, then `run.py`.
"""
