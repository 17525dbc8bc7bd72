"""The search: evaluator, executors, generation loop, ledger, verdict. Also the verb `evolve`."""

from efn_compose.callable_package import make_callable

make_callable(__name__, "efn_compose.jobs.search.job:evolve")
