"""What every card of this model says in words."""

NORMALISATION = (
    "bands of the sensor to 10 nm bands at 430-1300, 1480-1750 and 1990-2420 nm; standard normal "
    "variate (SNV) and second difference within each window; log mean and log relative deviation "
    "of the reflectance beside them; noise-whitened components, shrunk by the noise of each "
    "spectrum"
)

OUTPUTS = {
    "salinity": "exp(E[log(1 + EC)]) - 1: the expectation on the scale log(1 + EC), dS/m",
    "salinity_lower": "lower end of the 90 % interval of EC, dS/m",
    "salinity_upper": "upper end of the 90 % interval of EC, dS/m",
}

INTERVAL = (
    "split conformal on log(EC + 0.03), each end by itself; predicted widths, calibrated on groups "
    "that the calibrated machine did not see"
)

LIMITS = (
    "The estimate is of the electrical conductivity that the labels are (ec_method); it is ECe "
    "only where that says so.",
    "A satellite sees a surface crust, laboratory labels are of mixed, sieved soil: the estimate "
    "is no statement about the root zone.",
    "Halite and dry thenardite are nearly featureless; a low salt content is not visible at all.",
    "Intervals hold on average over soils like the training's; of saline soils, above 1 dS/m, only "
    "the share given as coverage_above_1_dsm lies within.",
    "Vegetation, water, cloud and shadow are to be masked before (`quality_flags`).",
)
"""Limits of any model, one statement each."""

LABORATORY_LIMITS = (
    "No satellite pixel with a field sample was used: how well laboratory spectra stand for "
    "pixels is not known.",
    "The labels are strongly skewed to non-saline soils: above about 1 dS/m the estimate is low "
    "and rests on few profiles.",
)
"""Further limits of a model without satellite labels."""

SIMULATED_LIMIT = "Some training spectra are simulated: scores on them measure the simulator."
