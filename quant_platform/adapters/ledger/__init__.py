"""The ledger on SQL databases: one schema, one writer, SQLite and Postgres."""
