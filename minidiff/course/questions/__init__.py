"""The questions of the lessons, a file for each: kept here, so that no page shows an answer before it is asked for."""
