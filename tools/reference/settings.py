"""docs/reference/settings.md: every setting, and what the recipes make of them."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from charloom.serving.settings import PREFIX, ServeSettings
from charloom.settings import (
    Chosen,
    CorpusSettings,
    ModelSettings,
    RunSettings,
    SamplingSettings,
    Settings,
    TrainingSettings,
)
from charloom.training.recipes import load_recipe, recipe_names
from reference.kinds import bounds, kind
from reference.markdown import code, page, prose, shown, table

SECTIONS: dict[str, tuple[type[Settings], str]] = {
    "corpus": (CorpusSettings, "How the text is read, cleaned, numbered and split."),
    "model": (ModelSettings, "The shape of the network."),
    "training": (TrainingSettings, "How the network learns, and for how long."),
    "sampling": (SamplingSettings, "How text is drawn; a model's own defaults are in its `generation_config.json`."),
}


def settings() -> str:
    """The page."""
    return page(
        "Settings",
        "Each is declared once, in `src/charloom/settings.py`. `hidden_size` here is `--hidden-size` on the command "
        "line, `hidden_size=` in Python and `hidden_size:` in a recipe, under the section's name. A value out of its "
        "range is refused with the setting's name. An empty default means that the text says what happens then.",
        *(f"## {name}\n\n{text}\n\n{_fields(model)}" for name, (model, text) in SECTIONS.items()),
        "## Recipes\n\nA recipe is a file of these settings, in `src/charloom/recipes/`, or one of your own: "
        "`--recipe mine.yaml`. What a recipe leaves empty has the default above; options go over it. A budget keeps to "
        "what a recipe says, but for the settings that its line `free: [hidden_size]` names: some of "
        f"{', '.join(map(code, get_args(Chosen)))}.",
        _recipes(),
        "## serve\n\nOptions of `charloom serve`: `--max-rows`, or "
        f"`{PREFIX}MAX_ROWS` in the environment, or `max_rows = 64` in the file that `--config` names.",
        _fields(ServeSettings),
    )


def _fields(model: type[Settings]) -> str:
    rows = ((code(name), _type(field), _default(field), prose(field.description or "")) for name, field in _of(model))
    return table(("Setting", "Type", "Default", ""), rows)


def _of(model: type[Settings]) -> Iterable[tuple[str, FieldInfo]]:
    return model.model_fields.items()


def _type(field: FieldInfo) -> str:
    limits = bounds([*field.metadata, *_inner(field.annotation)])
    words = kind(field.annotation)
    return f"{words}, {limits}" if limits else words


def _inner(hint: Any) -> list[Any]:
    """The bounds inside `Annotated[...] | None`."""
    if get_origin(hint) not in (Union, types.UnionType):
        return []
    return [item for part in get_args(hint) for item in getattr(part, "__metadata__", ())]


def _default(field: FieldInfo) -> str:
    return shown(field.get_default(call_default_factory=True, validated_data={}))


def _recipes() -> str:
    recipes = {name: load_recipe(name) for name in recipe_names()}
    about = table(("Recipe", ""), ((code(name), prose(recipe.description)) for name, recipe in recipes.items()))
    rows = []
    for section, (model, _) in SECTIONS.items():
        for name, _field in _of(model):
            values = [_said(recipe, section, name) for recipe in recipes.values()]
            if any(values):
                rows.append([code(f"{section}.{name}"), *values])
    return f"{about}\n\n{table(['Setting', *map(code, recipes)], rows)}"


def _said(recipe: RunSettings, section: str, name: str) -> str:
    part = getattr(recipe, section)
    if name not in part.model_fields_set:
        return ""
    value = getattr(part, name)
    if name in recipe.free:
        return f"{shown(value)}, free"
    return ", ".join(map(shown, value)) if isinstance(value, list) else shown(value)
