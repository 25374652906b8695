"""A run: many scenes to one mosaic, free of Prefect and of the command.

Takes a `RunConfig`, returns a `RunResult`. Open `run.py` first.

==================  ====================================================================
`run.py`            search, scenes, mosaic, export: the whole run
`result.py`         its outcome
`driver.py`         which worker gets which scene, its outcome, what is lost
`early_tiles.py`    composes tiles meanwhile whose scenes are all mapped
`single_scene.py`   one scene by itself
`mosaic.py`         the Item of a version, its export, and a build by itself
`selection.py`      which scenes take part
`empty_search.py`   why no scene takes part, and what would help
`scenes.py`         many scenes in little memory, in spatial order
`stores.py`         the store of a run; refuses one of another kind
`plan.py`           what a run would do
`memory.py`         what a worker needs
==================  ====================================================================
"""
