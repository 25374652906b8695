"""A run on a cluster, on paper: what it takes, what it waits for first, how it ends.

Takes the scenes of a plan, the profile of a cluster and measured figures; returns a `ClusterPlan`.
Starts nothing. Open `plan.py` first.

==============  ====================================================================
`plan.py`       workers of use, hours, requests, money, and what does not fit
`bounds.py`     what all workers share, how long a run keeps it busy, and which is first
`simulate.py`   a run in virtual time, with workers that are taken away
`workload.py`   a few numbers per scene
`figures.py`    what a scene and a tile take, each with its source
==============  ====================================================================
"""
