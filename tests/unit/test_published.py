"""Every headline number in the book is recomputed from its predictions; results of older code are flagged."""

import importlib
import warnings

import pytest

from gftlib import paths
from gftlib.parameters import NOTEBOOKS
from gftlib.results import load

FOLDERS = sorted(path.parent for path in (paths.root() / "book" / "results").glob("*/*/record.json"))


class StaleResult(UserWarning):
    """A published result whose code or settings have changed since."""


def flat(numbers, name=""):
    """Return nested dictionaries and lists as one, keys being paths: approx compares a single level only."""
    if isinstance(numbers, list):
        numbers = dict(enumerate(numbers))
    if not isinstance(numbers, dict):
        return {name: numbers}
    return {
        path: value for key, inner in numbers.items() for path, value in flat(inner, f"{name}/{key}").items()
    }


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_published_summary_follows_from_its_predictions(folder):
    result = load(folder)
    key, function = NOTEBOOKS[result.record.notebook].headline
    module, name = function.split(":")
    (predictions,) = folder.glob("predictions.*")
    summary = getattr(importlib.import_module(module), name)(predictions)
    assert flat(summary) == pytest.approx(flat(result.results[key]), rel=1e-9)
    for reason in result.record.stale():
        warnings.warn(f"{folder.parent.name}/{folder.name}: {reason}", StaleResult, stacklevel=1)


@pytest.mark.parametrize("parameters", NOTEBOOKS.values(), ids=lambda parameters: parameters.notebook)
def test_every_notebook_names_the_function_of_its_headline(parameters):
    module, name = parameters.headline[1].split(":")
    assert callable(getattr(importlib.import_module(module), name))
