"""Who is timed: loops by hand, stock Pyro, and, with interpreters of their own, NumPyro, JAX and Pythae."""
