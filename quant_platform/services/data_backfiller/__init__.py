"""The backfiller's core: which history is missing, what to ask for it, and how good the answers are."""
