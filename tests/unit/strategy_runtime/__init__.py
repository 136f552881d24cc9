"""The strategy runtime: a table of cases a module, and days played tick by tick."""
