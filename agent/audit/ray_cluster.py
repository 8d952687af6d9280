"""A Ray cluster to work on: one that runs, or one of this machine alone that ends with the audit.

Nothing is sent to Ray's makers. The cluster of this machine listens on loopback alone, shows no page, and is open to
nobody who lacks a word made for it; another's rules (TLS, its token) are those it was started with.
"""

import importlib.util
import os
import re
import secrets
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

from ...tools import ToolError
from .room import most_workers, room_of

LOCAL, AUTO = "ray", "auto"
ADDRESS = re.compile(r"(?P<outside>ray://)?(?P<host>[^/:\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
FORMS = (
    "local (processes of this machine), ray (a cluster of this machine alone), auto (the one that runs here), "
    "ray://HOST:10001 (from outside), or HOST:6379 (on a node of it)"
)
LONGEST_TEMPORARY = 24  # characters of the folder for temporary files
PATIENCE = 5.0  # seconds for an address to answer
TRIES = 3
HIGHEST_PORT = 65535
RECORD = "RAY_ADDRESS"
OBJECTS = 200 * 2**20  # bytes for files between workers of this machine; a run's are a few megabytes
FROM_OUTSIDE = "/ray.rpc.RayletDriver/ClusterInfo"
ON_A_NODE = "/ray.rpc.NodeInfoGcsService/GetClusterId"

# All of these are read when Ray is imported, by it and by what it starts.
ALWAYS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_enable_metrics_collection": "0", "RAY_AUTH_MODE": "token"}


@dataclass(frozen=True)
class Cluster:
    """Where actors are started.

    Args:
        workers: that fit at a time.
        each: what every one of them takes, as Ray names it.
        address: where it answers.
    """

    workers: int
    each: dict[str, float]
    address: str

    def refuse_gone(self) -> None:
        """
        Raises:
            ToolError: nothing answers at its address any more; Ray itself would end this process after a minute.
        """
        for _ in range(TRIES - 1):  # a machine at work may be slow for once
            try:
                _refuse_silent(self.address)
                return
            except ToolError:
                time.sleep(PATIENCE)
        _refuse_silent(self.address)


def refuse_unknown_place(on: str) -> None:
    """
    Raises:
        ToolError: neither a place nor an address, or Ray is needed and not installed.
    """
    if on == "local":
        return
    found = ADDRESS.fullmatch(on)
    if on not in (LOCAL, AUTO) and not (found and int(found["port"]) <= HIGHEST_PORT):
        raise ToolError(f"`--on` is {on!r}, which is no place to work.", mend=f"Allowed: {FORMS}.")
    if importlib.util.find_spec("ray") is None:
        raise ToolError("The package `ray` is not installed.", mend="Install it: pip install 'vesalius[ray]'.")


@contextmanager
def cluster(on: str, device: str, models: Iterable[str], workers: int | None) -> Iterator[Cluster]:
    """A cluster, for as long as it is needed.

    Args:
        on: `ray`, `auto` or an address.
        device: that the models are to run on.
        workers: that are wanted at a time; by default as many as fit.

    Raises:
        ToolError: nothing answers there, or no node has room for a worker.
    """
    models = tuple(models)
    # What Ray says of a dead worker goes to standard output, whatever it is told, and --json prints there.
    if on == LOCAL:
        wanted = workers or most_workers(models)
        # A socket's whole path has 107 bytes, of which Ray takes most.
        near = None if len(tempfile.gettempdir()) <= LONGEST_TEMPORARY else "/tmp"
        temporary = tempfile.TemporaryDirectory(prefix="vr-", dir=near, ignore_cleanup_errors=True)
        with temporary as folder, redirect_stdout(sys.stderr), _started(wanted, folder) as address:
            yield Cluster(wanted, {"num_cpus": 1}, address)
        return
    address = _recorded() if on == AUTO else on
    with redirect_stdout(sys.stderr), _joined(address) as ray:
        each = _each(ray.cluster_resources(), device, room_of(models))
        fitting = sum(_fitting(node["Resources"], each) for node in ray.nodes() if node["Alive"])
        if workers is None and not fitting:
            raise ToolError(
                f"No node of the cluster at {on} has room for a worker: {_in_words(each)}.",
                mend="Add a node, or give --workers N to wait until one is added.",
            )
        yield Cluster(workers or fitting, each, address)


@contextmanager
def _started(workers: int, folder: str) -> Iterator[str]:
    os.environ.update(ALWAYS | ON_LOOPBACK | {"RAY_AUTH_TOKEN": secrets.token_hex(32)})
    import ray

    ray.init(
        address="local",
        num_cpus=workers,
        object_store_memory=OBJECTS,
        include_dashboard=False,
        configure_logging=False,
        log_to_driver=False,  # it would write into what --json prints
        _temp_dir=folder,
    )
    try:
        yield ray.get_runtime_context().gcs_address
    finally:
        ray.shutdown()


def _recorded() -> str:
    """The cluster that runs here, as `ray start` or `ray job submit` wrote it down; no process is searched for one,
    since another audit's own would be found.

    Raises:
        ToolError: none is written down.
    """
    os.environ.update(ALWAYS)
    from ray._private.utils import read_ray_address

    address = os.environ.get(RECORD) or read_ray_address(None)
    if not ADDRESS.fullmatch(address or ""):
        said = f"is {address!r}, no address of one" if address else "is empty, and no `ray start` ran here"
        raise ToolError(f"No Ray cluster is known to run here: {RECORD} {said}.", mend=f"Allowed: {FORMS}.")
    return address


@contextmanager
def _joined(on: str) -> Iterator[Any]:
    os.environ.update(ALWAYS)
    _refuse_silent(on)
    import ray
    from ray.exceptions import RayError

    try:
        ray.init(address=on, configure_logging=False, log_to_driver=False)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        said = " ".join(str(error).split())
        mend = f"It must run (`ray status` there) with the same Ray and Python. Allowed: {FORMS}."
        raise ToolError(f"The Ray cluster at {on} cannot be joined: {said.rstrip('.')}.", mend=mend) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _refuse_silent(on: str) -> None:
    """Ray itself would try for minutes where nothing answers, or something else does, or it is not let in.

    Raises:
        ToolError: the one thing that is wrong.
    """
    import grpc

    if os.environ.get("RAY_USE_TLS") in ("1", "true"):
        return  # Ray's own setting: then a question in the clear is not answered
    found = ADDRESS.fullmatch(on)
    assert found, on
    where = f"{found['host']}:{found['port']}"
    # Past any proxy, as Ray goes. Nothing is given, so that no answer but a refusal is likely: its kind tells enough.
    with grpc.insecure_channel(where, options=(("grpc.enable_http_proxy", 0),)) as line:
        try:
            line.unary_unary(FROM_OUTSIDE if found["outside"] else ON_A_NODE)(b"", timeout=PATIENCE)
            return
        except grpc.RpcError as error:
            code, said = error.code(), error.details() or ""  # pyright: ignore[reportAttributeAccessIssue]
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        raise ToolError(f"No Ray cluster answers at {on}: {said}.", mend=f"Start one, or give another: {FORMS}.")
    if code == grpc.StatusCode.UNIMPLEMENTED:
        raise ToolError(f"What answers at {on} is another service, or another of Ray's.", mend=f"Allowed: {FORMS}.")
    if code == grpc.StatusCode.UNAUTHENTICATED and os.environ.get("RAY_AUTH_MODE") != "token":
        mend = (
            "Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to what the cluster was started with."
        )
        raise ToolError(f"The Ray cluster at {on} wants a token.", mend=mend)


def _each(cluster: dict[str, float], device: str, room: float) -> dict[str, float]:
    """What a worker takes: of all workers the same, because the numbers of a graphics card are not a processor's."""
    cards = cluster.get("GPU", 0)
    if device == "cuda" and not cards:
        raise ToolError("`device` is cuda, but the cluster has no GPU.", mend="Give --device cpu, or add a node.")
    takes = {"num_cpus": 1.0, "memory": float(int(room))}
    return takes | {"num_gpus": 1.0} if cards and device in ("auto", "cuda") else takes


def _fitting(node: dict[str, float], each: dict[str, float]) -> int:
    names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
    return int(min(node.get(names[what], 0) // takes for what, takes in each.items()))


def _in_words(each: dict[str, float]) -> str:
    card = ", a GPU" if "num_gpus" in each else ""
    return f"a CPU{card} and {each['memory'] / 1e9:.1f} GB of memory"
