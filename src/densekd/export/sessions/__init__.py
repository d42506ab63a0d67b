"""Files that run an artefact in its engine, each started by path: they import the engine and numpy alone."""
