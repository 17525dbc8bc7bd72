"""The kinds of executors there are: a name, where its class lies, and what it needs.

Another kind is another line here and a module with its class. The class keeps the promises
of `executor.py`, and the tests of these promises run over this table.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ExecutorKind:
    """One line of the table.

    Args:
        place: Module and class, "package.module:Class"; imported when it is chosen.
        is_in_process: Whether tasks run in the process of whoever asks: then only one at a time.
        packages: Packages that only this kind needs; workers must have the same versions.
        filling: "package.module:function" that fills the image caches of all machines of a cluster;
            empty where there is only this one.
    """

    place: str
    is_in_process: bool = False
    packages: tuple[str, ...] = ()
    filling: str = ""


#: By the name that `executor.kind` gives it.
EXECUTORS = {
    "serial": ExecutorKind(
        "efn_compose.evolve.workers.executors.serial_executor:SerialExecutor", is_in_process=True
    ),
    "ray": ExecutorKind(
        "efn_compose.evolve.workers.executors.ray_executor:RayExecutor",
        packages=("ray",),
        filling="efn_compose.evolve.workers.executors.ray_filling:fill_nodes",
    ),
}
