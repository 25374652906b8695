"""What determines the bits of a prediction: an instruction set, and a device.

The rounding of a float32 matrix product depends on both. Between machines of one instruction set
and one kind of device bits are equal; between others salinity differs by less than
`TOLERANCE_DS_M` relative to one plus itself.
"""

import platform as machine

TOLERANCE_DS_M = 1e-2
"""Of salinity and its interval, times 1 + salinity in dS/m; `tests/model/test_platform.py` holds it
between the CPU's own instruction sets."""


def platform(device: str) -> str:
    """Return the platform of this process's predictions, such as ``x86_64 AVX2``.

    Parameters
    ----------
    device
        ``cpu`` or ``cuda``; the CPU if there is no such device.
    """
    import torch

    from deepsalt.model.device import fell_back

    cpu = f"{machine.machine()} {torch.backends.cpu.get_cpu_capability()}"
    if device != "cuda" or not torch.cuda.is_available():
        return cpu
    name = f"cuda {torch.cuda.get_device_name()}"
    return f"{name}, in part {cpu}" if fell_back.is_set() else name
