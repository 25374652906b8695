"""Students on a device: the CPU's answers, batches of many chunks, bounded, and no device needed.

The device of these tests is the CPU behind the interface of a GPU.
"""

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for

import numpy as np
import pytest
import torch

from deepsalt.errors import FormatError, UsageError
from deepsalt.model import device as module
from deepsalt.model.device import REQUEST_PX, Feed, on_device
from deepsalt.model.folded import fold
from deepsalt.spectral.bands import sensor_bands
from tests.model.devices import Fake
from tests.model.students import soils, tiny_student
from tests.waiting import wait_until

ENMAP = sensor_bands("enmap")
STUDENT = tiny_student()
FOLDED = fold(STUDENT, ENMAP, (1e-4,) * len(ENMAP), (0.0,) * len(ENMAP))
SPECTRA = np.round(soils(300, ENMAP.centers_nm).T / 1e-4).astype(np.int16)
OUTPUTS = ("salinity", "lower", "upper", "domain_score", "chances")


def holed(spectra: np.ndarray) -> np.ndarray:
    spectra = spectra.copy()
    spectra[[40, 180], ::2] = -32768
    spectra[np.array(ENMAP.centers_nm) > 1900, 5] = -32768
    return spectra


@pytest.mark.parametrize("spectra", [SPECTRA, holed(SPECTRA)], ids=["whole", "holed"])
def test_a_device_gives_the_estimates_of_the_cpu(spectra):
    found = Feed(Fake()).student(FOLDED).estimate(spectra, nodata=-32768.0)
    wanted = FOLDED.estimate(spectra, nodata=-32768.0)
    for name in OUTPUTS:
        np.testing.assert_allclose(
            getattr(found, name), getattr(wanted, name), rtol=1e-3, atol=1e-4, err_msg=name
        )
    assert np.array_equal(found.flags, wanted.flags)


def test_too_few_bands_are_refused_on_a_device():
    with pytest.raises(FormatError, match="band table"):
        Feed(Fake()).student(FOLDED).estimate(SPECTRA[:50])


def test_batches_hold_the_pixels_of_many_chunks():
    fake = Fake()
    feed = Feed(fake, batch_px=2 * REQUEST_PX, waiting=40)
    fake.go.clear()
    with ThreadPoolExecutor(21) as pool:
        chunks = [pool.submit(feed.student(FOLDED).estimate, SPECTRA)]
        fake.asked.wait(10)
        chunks += [pool.submit(feed.student(FOLDED).estimate, SPECTRA) for _ in range(20)]
        wait_until(lambda: feed.waiting.qsize() == 20, "not all chunks wait")
        fake.go.set()
        found = [chunk.result() for chunk in chunks]
    assert fake.batches(2 * REQUEST_PX) == 2
    assert all(np.array_equal(each.salinity, found[0].salinity) for each in found)


def test_who_asks_waits_while_the_device_is_behind():
    fake = Fake()
    feed = Feed(fake, batch_px=REQUEST_PX, waiting=2)
    fake.go.clear()
    many = np.resize(SPECTRA.T, (9 * REQUEST_PX, len(ENMAP))).T
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(feed.student(FOLDED).estimate, many)
        wait_until(feed.waiting.full, "the queue does not fill")
        # Nothing tells that something does not happen; too short a wait only misses a fault.
        assert not wait_for([asked], timeout=0.3).done
        fake.go.set()
        assert asked.result().salinity.shape == (9 * REQUEST_PX,)


def test_no_tensor_of_an_answer_stays_on_the_cpu():
    moved = FOLDED.moved(lambda tensor: tensor.to("meta"))
    spectra = torch.empty(FOLDED.used.size, REQUEST_PX, device="meta")
    with torch.inference_mode():  # fails where two devices meet
        assert moved.answer(spectra).device.type == "meta"


def test_weights_go_to_the_device_once():
    fake = Fake()
    feed = Feed(fake, batch_px=REQUEST_PX)
    feed.student(FOLDED).estimate(SPECTRA)
    first = len(fake.sent)
    feed.student(FOLDED).estimate(SPECTRA)
    assert len(fake.sent) == first + 1


def test_students_of_two_sensors_share_a_device():
    feed = Feed(Fake(), batch_px=REQUEST_PX)
    prisma = sensor_bands("prisma")
    other, spectra = fold(STUDENT, prisma), soils(50, prisma.centers_nm).T.astype(np.float32)
    with ThreadPoolExecutor(4) as pool:
        ours = [pool.submit(feed.student(FOLDED).estimate, SPECTRA) for _ in range(5)]
        theirs = [pool.submit(feed.student(other).estimate, spectra) for _ in range(5)]
    wanted = other.estimate(spectra).salinity
    for each in theirs:
        np.testing.assert_allclose(each.result().salinity, wanted, rtol=1e-3, atol=1e-4)
    for each in ours:
        np.testing.assert_array_equal(each.result().salinity, ours[0].result().salinity)


def test_what_a_device_fails_at_is_done_by_the_cpu_with_a_warning(caplog):
    fake = Fake()
    fake.fails = True
    with caplog.at_level(logging.WARNING):
        found = Feed(fake).student(FOLDED).estimate(SPECTRA)
    assert np.array_equal(found.salinity, FOLDED.estimate(SPECTRA).salinity)
    assert [record.getMessage() for record in caplog.records] == [
        "the device failed (out of memory); predicting on the CPU"
    ]


def test_a_device_that_recovers_is_used_again():
    fake = Fake()
    feed = Feed(fake, batch_px=REQUEST_PX)
    fake.fails = True
    feed.student(FOLDED).estimate(SPECTRA)
    fake.fails = False
    feed.student(FOLDED).estimate(SPECTRA)
    assert fake.batches(REQUEST_PX) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_the_cpu_predicts_and_says_so_once(caplog, monkeypatch):
    monkeypatch.setattr(module, "feeds", [])
    with caplog.at_level(logging.WARNING):
        assert on_device(FOLDED, "cuda") is FOLDED
        assert on_device(FOLDED, "cuda") is FOLDED
    assert [record.getMessage() for record in caplog.records] == [
        "no CUDA device is available; predicting on the CPU"
    ]


def test_an_unknown_device_is_refused():
    with pytest.raises(UsageError, match="give one of cpu, cuda"):
        on_device(FOLDED, "abacus")


ENDING = """
import sys, threading, time
import tests.model.test_device as here

class Slow(here.Fake):
    def get(self, tensor):
        time.sleep(0.3)  # the process ends meanwhile, of which nothing tells
        return super().get(tensor)

device = Slow()
feed = here.Feed(device, batch_px=here.REQUEST_PX, waiting=2)
many = here.np.resize(here.SPECTRA.T, (9 * here.REQUEST_PX, len(here.ENMAP))).T
student = feed.student(here.FOLDED)
threading.Thread(target=lambda: print(student.estimate(many).salinity.size)).start()
device.asked.wait(60)
sys.exit(130)
"""


def test_a_process_that_ends_does_not_wait_for_ever():
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, timeout=60)
    assert done.returncode == 130
    assert done.stdout.strip() == str(9 * REQUEST_PX).encode()
