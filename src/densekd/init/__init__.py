"""First recipes for data that nobody described yet: look at a folder, propose what fits data and machine."""
