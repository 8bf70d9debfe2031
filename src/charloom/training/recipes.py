"""Recipes: named sets of settings in YAML, shipped with the library or written by the user."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable

import yaml

from charloom.errors import UsageError
from charloom.files import expand_home
from charloom.settings import RunSettings, validate

DEFAULT_RECIPE = "base"


def recipe_names() -> list[str]:
    """The recipes that come with charloom."""
    return sorted(
        file.name.removesuffix(".yaml") for file in _recipes_folder().iterdir() if file.name.endswith(".yaml")
    )


def load_recipe(name: str) -> RunSettings:
    """A recipe by its name, or by the path of a user's own YAML file."""
    names = recipe_names()
    if name in names:
        content = (_recipes_folder() / f"{name}.yaml").read_text("utf-8")
    elif (path := expand_home(name)).suffix in (".yaml", ".yml"):
        try:
            content = path.read_text("utf-8")
        except OSError as error:
            raise UsageError(f"cannot read the recipe {name}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise UsageError(f"cannot read the recipe {name}: it is not UTF-8 (byte {error.start:,})") from None
    else:
        raise UsageError(f"no such recipe: {name}; choose {', '.join(names)}, or a .yaml file of your own")
    try:
        data = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise UsageError(f"recipe {name} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise UsageError(f"recipe {name} must hold sections: corpus, model, training, sampling")
    return validate(RunSettings, data, origin=f"recipe {name}: ")


def _recipes_folder() -> Traversable:
    return resources.files("charloom") / "recipes"
