"""Training; importing its modules imports TensorFlow. Also the verb `train`."""

from efn_compose.callable_package import make_callable

make_callable(__name__, "efn_compose.jobs.trainings.job:train")
