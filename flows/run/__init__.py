"""A run: many scenes to one mosaic, free of Prefect and of the command.

In goes a `RunConfig`, out comes a `RunResult`. Open `run.py` first.

===============  =====================================================================
`run.py`         search, scenes, mosaic, export: the whole of it
`driver.py`      which worker gets which scene, what became of it, what is lost
`ahead.py`       tiles that no scene is to come for are composed meanwhile
`one.py`         one scene by itself
`mosaic.py`      the Item of a version, its export, and a build by itself
`selection.py`   which scenes take part
`nothing.py`     why no scene does, and what would help
`scenes.py`      many scenes in little memory, in the order of space
`stores.py`      the store of a run, or the refusal of one that is of another kind
`plan.py`        what a run would do
`memory.py`      what a worker needs
===============  =====================================================================
"""
