"""Commands about recipes: ``schema``."""

import json
import sys


def schema() -> None:
    """Print the JSON schema of a recipe, for editors."""
    from densekd.recipe import Recipe

    sys.stdout.write(json.dumps(Recipe.model_json_schema(), indent=1) + "\n")
