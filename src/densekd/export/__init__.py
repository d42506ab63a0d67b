"""Export to inference engines: a model becomes an artefact that was loaded, compared and scored, or a refusal."""
