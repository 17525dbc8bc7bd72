"""Starting Ray: what goes wrong is one sentence, whatever class of error Ray gives it."""

import pytest

from efn_compose.errors import RunError
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.executors.ray_session import start_ray


@pytest.mark.parametrize(
    ("address", "place", "advice"),
    [("", "this machine", "less busy"), ("10.0.0.1:6379", "10.0.0.1:6379", "ray status")],
)
def test_a_start_that_fails_says_where_and_what_to_do(monkeypatch, address, place, advice):
    ray = pytest.importorskip("ray")

    def late(**settings):
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(RunError) as found:
        start_ray(ExecutorOptions(address=address))
    words = str(found.value)
    assert f"on {place}: The current node timed out during startup. Try" in words
    assert "executor.kind=serial" in words
    assert advice in words
