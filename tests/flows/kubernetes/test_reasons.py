"""Why a pod does not start, in the words of its cluster, and whether waiting helps."""

from typing import Any

import pytest

from deepsalt.errors import UsageError
from flows.kubernetes.reasons import reason_of
from flows.run.pods import refuse_local


def waiting(reason: str, message: str) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"status": {"phase": "Pending", "containerStatuses": [{"state": state}]}}


def ended(reason: str, code: int, message: str = "") -> dict[str, Any]:
    state = {"terminated": {"reason": reason, "exitCode": code, "message": message}}
    return {"status": {"phase": "Failed", "containerStatuses": [{"state": state}]}}


def without_node(message: str) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    return {"status": {"phase": "Pending", "conditions": [{**condition, "message": message}]}}


@pytest.mark.parametrize(
    ("pod", "said", "is_final"),
    [
        (waiting("ImagePullBackOff", "no such image"), "no such image; check `image`", True),
        (
            waiting("CreateContainerConfigError", "no Secret"),
            "no Secret; check `secrets` and",
            True,
        ),
        (without_node("0/3 nodes are available"), "0/3 nodes are available; no node fits", False),
        (ended("OOMKilled", 137), "OOMKilled with code 137; give the group more `memory`", False),
        (ended("Error", 1, "first\nValueError: bad"), "Error with code 1: ValueError: bad", False),
        ({"status": {"phase": "Pending"}}, "pending", False),
    ],
)
def test_a_reason_says_what_the_cluster_says_and_what_to_do(
    pod: dict[str, Any], said: str, is_final: bool
) -> None:
    found = reason_of(pod)
    assert said in str(found)
    assert found.is_final == is_final


def test_a_folder_of_this_machine_is_refused_as_the_store_of_pods() -> None:
    with pytest.raises(UsageError, match="give a store in a bucket"):
        refuse_local("/data/store")
    refuse_local("s3://bucket/store")
