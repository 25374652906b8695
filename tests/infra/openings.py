"""Which pod may reach what: the table that NetworkPolicies must give, and how they are read.

`allows` follows the API's definition, so that the table can be checked without a cluster;
`tests/kubernetes/test_manifests.py` tries the same table with pods.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Labels = Mapping[str, str]
Policy = Mapping[str, Any]


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod in our namespace or another, or an address outside.

    Parameters
    ----------
    labels
        Labels of the pod.
    namespace
        Labels of the pod's namespace; None: ours.
    address
        Address of what is no pod.
    """

    labels: Labels = field(default_factory=dict)
    namespace: Labels | None = None
    address: str | None = None

    @property
    def is_ours(self) -> bool:
        """Whether our policies select it."""
        return self.namespace is None and self.address is None


def ours(component: str) -> End:
    """Return a pod of ours."""
    return End({"app.kubernetes.io/name": "deepsalt", "app.kubernetes.io/component": component})


ENDS = {
    "scheduler": ours("scheduler"),
    "worker": ours("worker"),
    "driver": ours("driver"),
    "stranger": End({"app": "stranger"}),
    "names": End({"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"}),
    "prometheus": End({"app": "prometheus"}, {"kubernetes.io/metadata.name": "monitoring"}),
    "another namespace": End({"app": "web"}, {"kubernetes.io/metadata.name": "default"}),
    "archive": End(address="203.0.113.7"),
    "metadata": End(address="169.254.169.254"),
    "control plane": End(address="10.0.0.1"),
}
BETWEEN_PODS = [
    ("worker", "scheduler", 8786, True),
    ("worker", "scheduler", 8787, True),
    ("driver", "scheduler", 8786, True),
    ("driver", "scheduler", 8787, True),
    ("scheduler", "worker", 8788, True),
    ("scheduler", "worker", 8789, True),
    ("worker", "worker", 8789, True),
    ("worker", "worker", 8788, False),
    ("worker", "scheduler", 8789, False),
    ("driver", "worker", 8789, False),
    ("worker", "driver", 8786, False),
    ("scheduler", "driver", 8786, False),
    ("stranger", "scheduler", 8786, False),
    ("stranger", "scheduler", 8787, False),
    ("stranger", "worker", 8789, False),
    ("worker", "stranger", 8786, False),
]
"""Source, target, TCP port, and whether the connection is open: both in our namespace."""
BEYOND = [
    ("another namespace", "scheduler", 8786, False),
    ("another namespace", "scheduler", 8787, False),
    ("another namespace", "worker", 8788, False),
    ("prometheus", "scheduler", 8787, True),
    ("prometheus", "worker", 8788, True),
    ("prometheus", "scheduler", 8786, False),
    ("prometheus", "worker", 8789, False),
    ("prometheus", "driver", 8787, False),
    ("worker", "names", 53, True),
    ("scheduler", "names", 53, True),
    ("stranger", "names", 53, True),
    ("worker", "names", 443, False),
    ("worker", "archive", 443, True),
    ("driver", "archive", 443, True),
    ("scheduler", "archive", 443, False),
    ("stranger", "archive", 443, False),
    ("worker", "archive", 80, False),
    ("worker", "archive", 53, False),
    ("worker", "metadata", 80, False),
    ("worker", "metadata", 443, False),
    ("driver", "control plane", 6443, True),
    ("driver", "control plane", 443, True),
    ("worker", "control plane", 6443, False),
    ("scheduler", "control plane", 6443, False),
]
"""The same with an end outside."""


def allows(policies: Iterable[Policy], source: End, target: End, port: int) -> bool:
    """Return whether policies of our namespace let a TCP connection through."""
    found = [each["spec"] for each in policies]
    leaves = not source.is_ours or _side(found, "egress", source, target, port)
    arrives = not target.is_ours or _side(found, "ingress", target, source, port)
    return leaves and arrives


def _side(specs: list[Policy], side: str, own: End, other: End, port: int) -> bool:
    """Return whether one end lets a connection out or in; one that no policy selects does."""
    selecting = [
        each
        for each in specs
        if side.capitalize() in each["policyTypes"] and selects(each["podSelector"], own.labels)
    ]
    if not selecting:
        return True
    peers = "to" if side == "egress" else "from"
    rules = [rule for each in selecting for rule in each.get(side, [])]
    return any(_has_port(rule, port) and _has_peer(rule.get(peers), other) for rule in rules)


def _has_port(rule: Policy, port: int) -> bool:
    listed = rule.get("ports")
    return not listed or any(each["port"] == port and each["protocol"] == "TCP" for each in listed)


def _has_peer(peers: list[Policy] | None, other: End) -> bool:
    return not peers or any(_is_peer(each, other) for each in peers)


def _is_peer(peer: Policy, other: End) -> bool:
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        return other.address is not None and (
            _within(other.address, block["cidr"])
            and not any(_within(other.address, each) for each in block.get("except", []))
        )
    if other.address is not None:
        return False
    if "namespaceSelector" in peer:
        there = selects(peer["namespaceSelector"], other.namespace or {})
        return there and selects(peer.get("podSelector", {}), other.labels)
    return other.namespace is None and selects(peer["podSelector"], other.labels)


def _within(address: str, block: str) -> bool:
    return ip_address(address) in ip_network(block)


def selects(selector: Policy, labels: Labels) -> bool:
    """Return whether a label selector selects something with these labels."""
    matched = all(
        labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()
    )
    return matched and all(
        _expressed(each, labels) for each in selector.get("matchExpressions", [])
    )


def _expressed(expression: Policy, labels: Labels) -> bool:
    found = labels.get(expression["key"])
    operator = expression["operator"]
    if operator == "In":
        return found in expression["values"]
    if operator == "Exists":
        return found is not None
    raise NotImplementedError(f"the operator {operator} of a label selector")
