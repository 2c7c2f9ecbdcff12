import re
import tomllib

import yaml

from gftlib import __version__, paths

ROOT = paths.root()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = [line for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines() if line]


def plain(requirement):
    return re.split(r"[<>=!~;\[ ]", requirement)[0].lower().replace("_", "-")


def test_every_requirement_is_pinned_exactly_and_names_no_host():
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!]+( ; .+)?", line) for line in PINS)


def test_what_the_project_asks_for_is_in_the_pins():
    extras = PROJECT["optional-dependencies"]
    assert set(extras) == {"book", "dev", "cluster", "gpu", "serve"}
    # The last two are for machines that have what they drive.
    asked = [*PROJECT["dependencies"], *extras["book"], *extras["dev"]]
    assert {plain(name) for name in asked} <= {plain(line) for line in PINS}


def test_jupyter_book_stays_on_its_first_version():
    (pin,) = [line for line in PINS if plain(line) == "jupyter-book"]
    assert pin.startswith("jupyter-book==1.")


def test_conda_gets_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *_, pip = environment["dependencies"]
    assert pip == {"pip": ["--requirement requirements.txt", "--editable ."]}


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"] == __version__
