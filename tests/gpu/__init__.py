"""What only a machine with a CUDA device can show: `make test-gpu`, and its rehearsal without one.

`test_gpu.py` says what must hold. Each scene is mapped in a process of its own (`scene.py`), and so
is the student measured by itself (`student.py`), so that one lost device is the end of one process.
`device.py` is the device as these use it: the machine's, or in a rehearsal the CPU behind its
interface, which shows that the checks run and can fail, and nothing of a GPU. `conftest.py` writes
the table.
"""
