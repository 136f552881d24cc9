"""The ledger's schema as steps forward from every released version."""
