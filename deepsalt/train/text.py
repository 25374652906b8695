"""What every card of this model says in words."""

NORMALISATION = (
    "bands of the sensor to 10 nm bands at 430-1300, 1480-1750 and 1990-2420 nm; standard normal "
    "variate (SNV) and central first difference within each window; log mean and log relative "
    "deviation of the reflectance beside them; principal components, standardised on the training "
    "spectra"
)

OUTPUTS = {
    "salinity": "central estimate (Huber location of log(EC + 0.03), near the median), dS/m",
    "salinity_lower": "lower end of the 90 % interval of EC, dS/m",
    "salinity_upper": "upper end of the 90 % interval of EC, dS/m",
}

LIMITS = (
    "The laboratory labels come from mixed or unknown methods (water extracts, one saturation "
    "extract); the estimate is not ECe.",
    "A satellite sees a surface crust, the labels are of mixed, sieved soil: the estimate is no "
    "statement about the root zone.",
    "The labels are strongly skewed to non-saline soils: above about 1 dS/m the estimate is low "
    "and rests on a dozen profiles and on simulation.",
    "Halite and dry thenardite are nearly featureless; a low salt content is not visible at all.",
    "Of laboratory soils above 1 dS/m, only the share given as coverage_above_1_dsm lies within "
    "the 90 % interval: they are 2 % of the soils, and most look like others.",
    "Scores on simulated spectra measure the simulator, not the field. No satellite pixel with a "
    "field sample was used.",
    "The soils of the simulated mixtures come from a low-rank basis of all training spectra, "
    "without labels: spectra of left-out profiles have a share in it.",
    "Vegetation, water, cloud and shadow are to be masked before (`basis`); moist surfaces are "
    "represented by simulation only.",
)
"""Limits of the model, one statement each."""
