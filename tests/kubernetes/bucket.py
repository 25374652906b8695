"""An S3 server in a pod: SeaweedFS, whose objects outlive its process but not its pod."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.kubernetes.cluster import Manifest, Space
from tests.kubernetes.images import S3
from tests.kubernetes.pods import pod, pod_spec
from tests.servers.ports import free_port
from tests.waiting import wait_until

BUCKET = "salt"
SECRET = "deepsalt-store"
"""Name of the Secret with what pods need to know of the bucket."""
_POD, _PORT = "s3", 8333
_NEW_S = 5.0
_KEY, _SECRET_KEY = "campaign", "open-sesame-campaign"
_ROOM = {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
# The shell stays when the server is killed, and its end starts the container again.
_SERVE = """
weed server -dir=/data -ip=127.0.0.1 -ip.bind=0.0.0.0 -volume.max=100 \
  -master.volumeSizeLimitMB=64 -s3 -s3.port=%d -s3.config=/identities/identities.json \
  -s3.port.iceberg=0 -s3.port.lance=0 &
echo $! > /data/pid
wait $!
exit 1
"""


@dataclass(frozen=True)
class Bucket:
    """A bucket in a pod, and how it is reached from pods and from this machine.

    Parameters
    ----------
    space
        Namespace of the server.
    endpoint
        URL for this machine.
    """

    space: Space
    endpoint: str

    @property
    def inside(self) -> str:
        """URL for pods."""
        return _inside(self.space)

    @property
    def environment(self) -> dict[str, str]:
        """What a process of this machine needs to know."""
        return _environment(self.endpoint)

    def kill(self) -> None:
        """Kill the server in its pod; the kubelet starts it again with the same objects."""
        self.space.run(_POD, "sh", "-c", "kill -9 $(cat /data/pid)")

    @property
    def starts(self) -> int:
        """How often the server was started again."""
        (status,) = self.space.get("Pod", _POD)["status"]["containerStatuses"]
        return int(status["restartCount"])

    def wait(self) -> None:
        self.space.wait(
            lambda: self.space.is_ready(_POD), "the S3 server is not ready", patience_s=120.0
        )


@contextmanager
def serving(space: Space) -> Iterator[Bucket]:
    """Serve a bucket that its first object makes, and tell pods by a Secret how to reach it."""
    known = _secret(SECRET, _environment(_inside(space)))
    space.make(known, _identities(), _service(), _server())
    space.wait(lambda: space.is_ready(_POD), "the S3 server is not ready", patience_s=180.0)
    with reached(space, _POD, _PORT) as endpoint:
        yield Bucket(space, endpoint)


def _inside(space: Space) -> str:
    return f"http://{_POD}.{space.name}.svc:{_PORT}"


def _environment(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": _KEY,
        "AWS_SECRET_ACCESS_KEY": _SECRET_KEY,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _secret(name: str, entries: dict[str, str]) -> Manifest:
    return {"kind": "Secret", "metadata": {"name": name}, "stringData": entries}


def _identities() -> Manifest:
    keys = [{"accessKey": _KEY, "secretKey": _SECRET_KEY}]
    identity = {"name": _KEY, "credentials": keys, "actions": ["Admin"]}
    return _secret("s3-identities", {"identities.json": json.dumps({"identities": [identity]})})


def _service() -> Manifest:
    return {
        "kind": "Service",
        "metadata": {"name": _POD},
        "spec": {
            "selector": {"app.kubernetes.io/component": "s3"},
            "ports": [{"port": _PORT}],
        },
    }


def _server() -> Manifest:
    # A server that is slow on a busy machine must keep its address; only a killed one loses it.
    probe = {
        "httpGet": {"path": "/healthz", "port": _PORT},
        "periodSeconds": 1,
        "failureThreshold": 60,
    }
    spec = pod_spec(
        S3,
        [_SERVE % _PORT],
        command=["sh", "-c"],
        volumes={
            "/data": {"emptyDir": {}},
            "/identities": {"secret": {"secretName": "s3-identities"}},
        },
        restartPolicy="Always",
        container={"readinessProbe": probe, "workingDir": "/data", "resources": _ROOM},
    )
    return pod(_POD, spec, component="s3")


@contextmanager
def reached(space: Space, service: str, service_port: int) -> Iterator[str]:
    """Yield the URL of a Service for this machine: its own address, or a forwarded port."""
    own = space.get("Service", service)["spec"]["clusterIP"]
    if _answers_soon(own, service_port):
        yield f"http://{own}:{service_port}"
        return
    port = free_port()
    forward = subprocess.Popen(
        [
            "kubectl",
            "-n",
            space.name,
            "port-forward",
            f"service/{service}",
            f"{port}:{service_port}",
        ],
        stdout=subprocess.DEVNULL,
        env=os.environ,
    )
    try:
        wait_until(
            lambda: _answers("127.0.0.1", port),
            f"kubectl does not forward a port to {service}",
            alive=lambda: forward.poll() is None,
        )
        yield f"http://127.0.0.1:{port}"
    finally:
        forward.send_signal(signal.SIGTERM)
        forward.wait()


def _answers_soon(host: str, port: int) -> bool:
    """Whether a Service answers at its own address; a new one does so after a second or two."""
    until_s = time.monotonic() + _NEW_S
    while not _answers(host, port):
        if time.monotonic() > until_s:
            return False
        time.sleep(0.2)
    return True


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2.0):
            return True
    except OSError:
        return False
