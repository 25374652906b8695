"""What a run imports, all of it, for processes that are forked from one that has it."""

# ruff: noqa: F401
import distributed.cli.dask_scheduler
import distributed.cli.dask_worker
import h5py
import icechunk
import jsonschema
import matplotlib.figure
import numcodecs.blosc
import obstore
import PIL.Image
import pystac.validation
import pystac_client
import rasterio.warp
import safetensors.torch
import stackstac
import torch

import catalog.local
import catalog.search.remote
import catalog.search.search
import deepsalt.cube.load
import deepsalt.export
import deepsalt.fetch
import deepsalt.model.load
import deepsalt.mosaic
import deepsalt.predict.cube
import deepsalt.reading
import deepsalt.scenes.enmap.reader
import deepsalt.scenes.prisma.reader
import flows.changes
import flows.cli.app
import flows.engines.cluster
import flows.engines.opening
import flows.publication
import flows.run.run

# Made before processes are forked: each would make its own and, killed, leave it behind.
numcodecs.blosc.get_mutex()
