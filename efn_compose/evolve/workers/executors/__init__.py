"""The executors: in this process, and on Ray's workers.

Begin at `serial_executor.py`, which sets the standard. `ray_executor.py` is what the driver does,
`ray_worker.py` what runs in each worker's process, `ray_session.py` starts Ray or joins a cluster.
`time_limit.py` says when a worker hangs, `worker_check.py` whether it runs the same code.
"""
