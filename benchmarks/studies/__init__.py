"""Questions that the tables leave open: gradients, bounds, precision, evidence, kills, the source itself."""
