"""Starts Ray on this machine or joins a cluster, and reads its resources."""

import logging
import os
from typing import Any

from efn_compose.errors import RunError
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.store.environment import usable_cores

#: What a first answer may take where nothing else is asked.
_TRIAL_SECONDS = 100.0
#: Ray's name for a switch that works everywhere.
_CLUSTER_SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def start_ray(options: ExecutorOptions) -> bool:
    """Connect to Ray where this process is not connected yet; return whether it was not.

    Without an address Ray is started for this process alone: it listens on the
    loopback address only and runs no dashboard.

    Raises:
        RunError: Ray cannot be started or reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray adds 15 to its workers' niceness; here they get that of the process they work for.
    os.environ.setdefault("RAY_worker_niceness", "0")
    if not options.address:
        # Ray takes "127.0.0.1" for this machine's outer address, unless clusters are off. Read
        # when Ray is imported, here and in all processes that it starts.
        os.environ.setdefault(_CLUSTER_SWITCH, "0")
    import ray

    if ray.is_initialized():
        return False
    if not options.address:
        _keep_to_loopback()
    try:
        if options.address:
            ray.init(address=options.address, log_to_driver=False, logging_level=logging.ERROR)
            return True
        ray.init(
            num_cpus=max(options.workers, usable_cores()),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            # Only this machine may talk to the run; no other address is listened on.
            _node_ip_address="127.0.0.1",
        )
        listening = ray.util.get_node_ip_address()
        if listening != "127.0.0.1":
            ray.shutdown()
            raise RunError(
                f"Ray would listen on {listening}, where other machines reach it. "
                f"Unset {_CLUSTER_SWITCH}, or start Ray yourself and give --address."
            )
    except RunError:
        raise
    except Exception as error:  # of a start that takes too long, Ray raises no class of its own
        where = options.address or "this machine"
        advice = "try again when the machine is less busy"
        if options.address:
            advice = "check the address with 'ray status'"
        raise RunError(
            f"Ray cannot be started or reached on {where}: {str(error).rstrip('.')}. "
            f"Try --set executor.kind=serial, or {advice}."
        ) from None
    return True


def try_ray_out() -> str:
    """Start Ray as a run does, let it answer once, and say what it offers.

    Raises:
        RunError: Ray cannot be started, or gives no right answer in time.
    """
    is_ours = start_ray(ExecutorOptions())
    import ray

    try:
        question = ray.remote(lambda: 6 * 7).options(num_cpus=0).remote()
        found = ray.get(question, timeout=_TRIAL_SECONDS)
        if found != 42:
            raise RunError(f"Ray answered 6 * 7 = {found}.")
        return f"{ray.__version__}, offers {words(ray.cluster_resources())}"
    except ray.exceptions.RayError as error:
        raise RunError(f"Ray gives no answer: {last_line(error)}.") from None
    finally:
        if is_ours:
            ray.shutdown()


def last_line(error: Exception) -> str:
    """Return the last line of what an error says, cut where it is long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [""])[-1][:300]


def _keep_to_loopback() -> None:
    """Turn clusters off in a Ray that was imported before the switch was set."""
    from ray._private import ray_constants

    if os.environ[_CLUSTER_SWITCH] == "0":
        ray_constants.ENABLE_RAY_CLUSTER = False


def choose_device(device: str, resources: dict[str, float]) -> str:
    """Return the device to use: the one that was asked for, or the best there is.

    Raises:
        RunError: Ray offers none of the devices asked for.

    Example:
        >>> choose_device("auto", {"CPU": 8.0, "GPU": 2.0})
        'gpu'
    """
    if device == "auto":
        return next((kind for kind in ("TPU", "GPU") if resources.get(kind)), "CPU").lower()
    if device != "cpu" and not resources.get(device.upper()):
        raise RunError(
            f"executor.device = {device!r}, but Ray offers none. It offers: {words(resources)}. "
            "Use --set executor.device=cpu, or check the driver."
        )
    return device


def worker_count(
    options: ExecutorOptions, device: str, resources: dict[str, float], most: int | None = None
) -> int:
    """Return the number of workers: as asked, or one per core or accelerator, and at most `most`.

    Example:
        >>> worker_count(ExecutorOptions(), "cpu", {"CPU": 8.0})
        8
        >>> worker_count(ExecutorOptions(), "cpu", {"CPU": 8.0}, most=3)
        3
    """
    per_device = options.workers_per_gpu if device == "gpu" else 1
    found = options.workers or max(1, int(resources.get(device.upper(), 1)) * per_device)
    return found if most is None else min(found, most)


def actor_options(device: str, options: ExecutorOptions) -> dict[str, Any]:
    """Return the resources that a worker needs on its node.

    Example:
        >>> actor_options("gpu", ExecutorOptions(workers_per_gpu=4, gpu_memory_mb=3500))
        {'num_cpus': 1, 'num_gpus': 0.25}
    """
    if device == "gpu":
        return {"num_cpus": 1, "num_gpus": 1 / options.workers_per_gpu}
    if device == "tpu":
        return {"num_cpus": 1, "resources": {"TPU": 1}}
    return {"num_cpus": 1}


def words(resources: dict[str, float]) -> str:
    """Return resources in words, those that name nodes left out.

    Example:
        >>> words({"CPU": 2.0, "node:10.0.0.1": 1.0, "memory": 2e9, "GPU": 0.5})
        '2 CPU, 0.5 GPU'
    """
    hidden = ("memory", "object_store_memory")
    found = [f"{n:g} {name}" for name, n in resources.items() if ":" not in name]
    return ", ".join(word for word in found if word.split()[1] not in hidden) or "nothing"
