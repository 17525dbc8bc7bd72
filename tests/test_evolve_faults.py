"""Workers that die for good or never answer: failures with a reason, never a stopped run."""

import nano_tasks
import pytest
from nano_run import nano_donor, write_nano_experiment
from nano_tasks import Bomb, Raiser, Sleeper

from efn_compose.compose import GenomeSpace, Recipe
from efn_compose.data import DataOptions, load_data
from efn_compose.evolve.evaluator import WorkerSetup
from efn_compose.evolve.options import ExecutorOptions, FitnessOptions
from efn_compose.evolve.ray_executor import RayExecutor
from efn_compose.evolve.tasks import EvaluationTask


@pytest.mark.slow
def test_hopeless_and_hanging_tasks_end_as_failures(tmp_path):
    import ray

    ray.cloudpickle.register_pickle_by_value(nano_tasks)
    write_nano_experiment(tmp_path)
    source = f"npz:{tmp_path / 'images.npz'}"
    data = load_data(DataOptions(source, 32, 48, 36, 36), 1)
    donors = [nano_donor("a", 1), nano_donor("b", 2)]
    space = GenomeSpace(donors[0].spec, 2, "block")
    evaluation = EvaluationTask(Recipe.genome(space.pure(0)), 1)
    setup = WorkerSetup(donors[0].conventions, FitnessOptions(batch_size=12))
    options = ExecutorOptions(workers=1, retries=0, hang_seconds=20)
    executor = RayExecutor(setup, data, options)
    try:
        executor.set_donors(space, [donor.tensors for donor in donors])
        assert dict(executor.run([evaluation]))[0].error is None
        sleeper, bomb = Sleeper(str(tmp_path / "a")), Bomb(str(tmp_path / "b"))
        outcomes = dict(executor.run([sleeper, bomb, Raiser()]))
        assert "no answer within 20 s" in outcomes[0].error
        assert "worker died" in outcomes[1].error
        assert "ValueError" in outcomes[2].error
    finally:
        executor.close()
