"""Faults on purpose: real servers on the loopback interface, to see what a program does when its node fails.

`FaultServer` is a node whose answers are scripted, `FAULTS` names the usual ones, and `ToxicProxy` spoils the
way to any node. With pytest, the fixtures `fault_server` and `toxic_proxy` are there as soon as the package
is installed. HTTP/2 and TLS need `pip install 'genesis-replicator[testing]'`.
"""

from genesis_replicator.testing._authority import Authority
from genesis_replicator.testing._catalogue import FAULTS
from genesis_replicator.testing._proxy import ToxicProxy
from genesis_replicator.testing._reply import Reply
from genesis_replicator.testing._server import FaultServer, SeenCall
from genesis_replicator.testing._toxics import (
    Bandwidth,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxic,
)

__all__ = [
    "FAULTS",
    "Authority",
    "Bandwidth",
    "FaultServer",
    "Latency",
    "LimitData",
    "Reply",
    "ResetPeer",
    "SeenCall",
    "Slicer",
    "SlowClose",
    "Timeout",
    "Toxic",
    "ToxicProxy",
]

# Tracebacks and documentation show the path that stays true if a file moves.
for _name in set(__all__) - {"FAULTS"}:
    globals()[_name].__module__ = __name__
del _name
