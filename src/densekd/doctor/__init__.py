"""Doctor: examinations of a recipe or run, each with evidence and what to change."""
