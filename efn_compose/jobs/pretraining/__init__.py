"""From a donor and images without labels to a donor of the same lineage, with a verdict."""
