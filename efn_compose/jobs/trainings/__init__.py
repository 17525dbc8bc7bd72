"""Many trainings from one weight file: a matrix of networks, folds and seeds in one folder."""
