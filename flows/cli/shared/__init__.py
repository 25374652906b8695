"""What verbs share: options, phrases, how a command stops, which extra a verb needs.

Takes words of a user and values of the library; returns configuration and lines of text. Open
`options.py` first.

`options.py` has options that mean the same everywhere, `groups.py` those that belong together and
what they become, `run_options.py` all of a run, `sample_options.py` those of field samples;
`grouping.py` lets a verb take a group. `text.py` formats results; `stopping.py` ends a command
cleanly; `extras.py` names what a light installation lacks.
"""
