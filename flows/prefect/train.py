"""Flow `train-model`: tables of spectra to a model; a shell around `deepsalt.train`."""

from dataclasses import asdict
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from deepsalt.extras import require
from flows.config import TrainingConfig
from flows.logs import logging_run
from flows.model_item import write_model_item


@flow(name="train-model", flow_run_name="train-{config.name}", persist_result=False)
def train_model(config: TrainingConfig) -> dict[str, Any]:
    """Train a model, score it with groups and regions left out, and write its card and report.

    A stopped training is resumed by the next run with the same parameters.

    Parameters
    ----------
    config
        Tables of spectra with labels, and where the model goes.

    Returns
    -------
    dict
        The model card.

    Raises
    ------
    ExtraMissingError
        What trains is not installed where the run is.
    """
    require("train", "the flow train-model")
    # A service is deployed and maps scenes without these.
    from deepsalt.train.loop import train
    from flows.training import training_of

    with logging_run(flow_run.get_id()):
        card = train(training_of(config))
        write_model_item(config.out, card)
    return asdict(card)
