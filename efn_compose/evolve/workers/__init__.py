"""Who answers the questions of a search: tasks, the evaluator that runs them, and executors.

Begin at `executor.py`, which states the promises that every executor keeps; `tasks.py` lists what
travels. Ray is imported by `ray_executor.py` and `ray_session.py` only.
"""
