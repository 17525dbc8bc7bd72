"""Training; importing its modules imports TensorFlow."""
