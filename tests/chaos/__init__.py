"""The platform under cuts, kills and stops: nothing lost, nothing twice."""
