"""Who does the work of a search: tasks, the workers that run them, executors that hand them out.

Begin at `executor.py`, which states the promises of every executor; `table.py` lists them. What is
asked lies in `tasks/`, what a worker owns in `evaluator.py`, and what donor numbers mean in `seat.py`.
The executors themselves lie in `executors/`.
"""
