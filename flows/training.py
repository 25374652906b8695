"""A training as it is asked for, to one as the library takes it."""

from dataclasses import replace

from deepsalt.model.load import model_ref
from deepsalt.train.config import Settings, TrainConfig, read_settings
from deepsalt.train.data.tables import TableSpec
from flows.config import TrainingConfig


def training_of(config: TrainingConfig) -> TrainConfig:
    """Return the training that a configuration asks for.

    Raises
    ------
    UsageError
        A table's name or a setting makes no sense.
    FormatError
        A table whose sensors have to be read cannot be.
    """
    specs = [
        *(spec for text in config.laboratory for spec in TableSpec.each(text, "laboratory")),
        *(spec for text in config.satellite for spec in TableSpec.each(text, "satellite")),
        *(spec for text in config.unlabelled for spec in TableSpec.each(text, "unlabelled")),
    ]
    specs = [
        replace(
            spec,
            region=config.region,
            ec=config.ec,
            ec_method=config.ec_method,
            suspect=config.suspect,
            licence=config.licence,
            attribution=config.attribution,
            group=config.group,
            group_elsewhere=len(specs) > 1,
            ec_unit=config.ec_unit,  # type: ignore[arg-type]
        )
        for spec in specs
    ]
    settings = read_settings(config.settings) if config.settings else Settings()
    if config.seed is not None:
        settings = replace(settings, seed=config.seed)
    if config.quick:
        settings = settings.quick()
    return TrainConfig(
        tuple(specs),
        config.out,
        name=config.name,
        settings=settings,
        evaluate=config.evaluate,
        infrared=config.infrared,
        base=model_ref() if config.satellite else None,
    )
