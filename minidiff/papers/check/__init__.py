"""The check of every pair against its statement: checker, mutants, scenarios, report."""
