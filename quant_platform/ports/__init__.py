"""What the cores and hosts ask of the outside: Protocols and row types only."""
