"""Combining scene products on the grid of a mosaic tile.

Takes scene products and a grid, returns the mosaic's layers there. Open `compose.py` first
(which part of which scene goes where), then `combine.py` (the sums of a pixel); `feather.py` says
how far a pixel lies from where its scene ends.

Every layer of a scene comes through one exact coordinate map (nearest pixel), so layers stay
aligned. Per pixel of the mosaic:

- *Contributors* are the scenes with an estimate there: a finite value with both ends of its
  interval and no rejecting `quality_flags` bit. Only they count.
- `salinity` is the weighted mean of log1p(salinity). Salinity spreads over orders of magnitude and
  its error grows with it, so means are taken where errors are comparable. A weight is the product
  of three: 1 / width**2, with width the length of the interval in log1p; `feather`, which falls to
  nearly 0 within 500 m of where the scene ends, so that borders leave no step; and, from three
  contributors on, how well the scene agrees with the others, so that a bad one hardly counts.
- `salinity_lower`, `salinity_upper` are the means of the interval's ends in log1p with the same
  weights. The interval does not shrink with the square root of the count: the model's error is
  common to all scenes, so another look at the same soil with the same model adds little.
- `p_above` holds the means of the contributors' probabilities with the same weights: looks at one
  soil with one model share their errors, so probabilities are never multiplied.
- `disagreement` is the standard deviation of salinity between contributors, dS/m, weighted by
  1 / width**2 alone: it shall show a scene that `salinity` doubts, and not fade towards borders.
  NaN with fewer than two, since one scene says nothing about the spread.
- `observations` counts contributors; `last_observed` is the newest of their days, missing when
  none of them has a date.
- `quality_flags` of an estimate: the advisory bits of its contributors, together. Without a
  contributor: OUTSIDE when no scene measured there, else the rejecting bits of all scenes that did.

Scenes are taken in order of their names and summed in float64, and all weights belong to pixels,
so the result depends neither on the order they are given in nor on tiles and blocks. Work goes
block by block, in smaller blocks the more scenes there are: memory does not grow with their number.
"""

from deepsalt.compositing.compose import composite, composite_measured

__all__ = ["composite", "composite_measured"]
