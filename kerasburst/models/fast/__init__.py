"""What TensorFlow gains on a CPU: the same networks, computed in compiled stages."""
