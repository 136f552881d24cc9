"""The outside world, one file per technology; adapters never import each other."""
