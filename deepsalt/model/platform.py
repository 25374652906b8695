"""What determines the bits of a prediction: an instruction set, and a device.

The rounding of a float32 matrix product depends on both. Between machines of one instruction set
and one kind of device bits are equal; between others salinity differs by less than
`TOLERANCE_DS_M` relative to one plus itself.
"""

import platform as machine

from deepsalt.errors import DeviceError

TOLERANCE_DS_M = 1e-2
"""Of salinity and its interval, times 1 + salinity in dS/m; `tests/model/test_platform.py` holds it
between the CPU's own instruction sets."""


def platform(device: str) -> str:
    """Return the platform of this process's predictions, such as ``x86_64 AVX2``.

    Parameters
    ----------
    device
        ``cpu`` or ``cuda``; the CPU if there is no such device.

    Raises
    ------
    DeviceError
        There is such a device, but it cannot be used.
    """
    import torch

    from deepsalt.model.device import failures

    cpu = f"{machine.machine()} {torch.backends.cpu.get_cpu_capability()}"
    if device != "cuda" or not torch.cuda.is_available():
        return cpu
    try:
        name = f"cuda {torch.cuda.get_device_name()}"
    except RuntimeError as error:
        raise DeviceError(
            f"the CUDA device cannot be used ({str(error).splitlines()[0]}); free it for this "
            f"process, or give --device cpu"
        ) from error
    return f"{name}, in part {cpu}" if failures else name
