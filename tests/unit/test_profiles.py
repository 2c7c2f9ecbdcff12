import types

import pytest
import yaml

from gftlib import profiles
from gftlib.errors import InputError, MissingError
from gftlib.parameters import GraphConstruction
from gftlib.profile_option import PROFILES
from gftlib.profiles import Profile, load_profile

GOOD = {"profile": "smoke", "image": "", "mask": "", "workers": 1, "out": ""}


@pytest.mark.parametrize("name", profiles.PROFILES)
def test_every_profile_keeps_the_schema_and_its_name(name):
    assert load_profile(name).name == name


def test_a_profile_may_say_only_what_differs_from_another():
    base, other = (load_profile(name).model_dump() for name in ("phantom", "phantom-llama"))
    assert other["tuning"].pop("students") == {"tiny-mllama": 1}
    own = ("arms", "first_parts", "first_lr", "second_lr", "rehearsals")
    for name in own:
        assert other["tuning"].pop(name) != base["tuning"].pop(name)
    del base["tuning"]["students"], base["name"], other["name"]
    assert other == base
    files = [path.name for path in profiles.profile_files("phantom-llama")]
    assert files == ["phantom-llama.yaml", "phantom.yaml"]
    assert [path.name for path in profiles.profile_files("smoke")] == ["smoke.yaml"]


def test_the_profile_of_sizes_tunes_other_widths_as_phantom_tunes_its_own():
    base, other = (load_profile(name).model_dump() for name in ("phantom", "phantom-sizes"))
    widths = other["tuning"].pop("students")
    assert list(widths) == [f"runs/students/{size}-qwen2.5-vl" for size in ("half", "wide")]
    assert other["tuning"].pop("arms") == ["GFT"]
    assert "GFT" in base["tuning"].pop("arms")
    del base["tuning"]["students"], base["name"], other["name"]
    assert other == base


def test_commands_name_every_profile():
    *others, last = profiles.PROFILES
    told = f"{', '.join(others)} or {last}"
    assert told == PROFILES


def test_an_extended_profile_must_exist(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "phantom-llama.yaml").write_text("extends: fantom\nname: phantom-llama\n")
    monkeypatch.setenv("GFTLIB_ROOT", str(tmp_path))
    with pytest.raises(InputError, match="unknown profile 'fantom'; did you mean 'phantom'"):
        load_profile("phantom-llama")


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("  folds: [1]\n", "  folds: [1, 1]\n", r"must be some of staging\.folds \[1, 2\], each once"),
        ("  folds: [1]\n", "  folds: [1, 3]\n", r"must be some of staging\.folds \[1, 2\], each once"),
        ("  experiments: []", "  experiments: [GFT-few]", "'GFT-few', which tuning.arms lacks"),
    ],
)
def test_settings_that_do_not_fit_together_are_told(tmp_path, monkeypatch, right, wrong, message):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "profiles").mkdir()
    text = profiles.profile_path("smoke").read_text()
    assert right in text
    (tmp_path / "profiles" / "smoke.yaml").write_text(text.replace(right, wrong))
    monkeypatch.setenv("GFTLIB_ROOT", str(tmp_path))
    with pytest.raises(InputError, match=message):
        load_profile("smoke")


def test_unknown_profile_names_the_nearest():
    with pytest.raises(InputError, match="unknown profile 'phantm'; did you mean 'phantom'"):
        load_profile("phantm")


def test_a_profile_file_that_is_gone_is_named(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("GFTLIB_ROOT", str(tmp_path))
    with pytest.raises(MissingError, match=r"smoke\.yaml"):
        load_profile("smoke")


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "not valid YAML"), ("- 1", "must hold names and values"), ("", "must hold names and values")],
)
def test_a_broken_profile_file_is_an_input_error(tmp_path, monkeypatch, text, message):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "smoke.yaml").write_text(text)
    monkeypatch.setenv("GFTLIB_ROOT", str(tmp_path))
    with pytest.raises(InputError, match=message):
        load_profile("smoke")


def edited(**changes):
    content = yaml.safe_load(profiles.profile_path("smoke").read_text())
    content["octa"] |= changes
    return content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scnas": 3}, r"smoke\.octa: unknown name 'scnas'; did you mean 'scans'"),
        ({"scans": "24"}, r"smoke\.octa: scans = '24' \(str\).*valid integer"),
        ({"scans": 2}, "greater than or equal to 6"),
        ({"source": "web"}, "'phantom' or 'folder'"),
    ],
)
def test_wrong_settings_are_named_with_their_place(change, message):
    with pytest.raises(InputError, match=message):
        Profile.checked(edited(**change), "smoke")


def test_missing_settings_are_named():
    content = edited()
    del content["seed"]
    with pytest.raises(InputError, match="smoke: 'seed' is missing"):
        Profile.checked(content, "smoke")


def test_parameters_are_read_from_a_notebook_that_has_imports_and_history():
    names = {**GOOD, "In": ["x"], "Out": {1: 2}, "_i1": "x", "os": types, "Profile": Profile}
    assert GraphConstruction.from_notebook(names).profile == "smoke"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"imgae": "x.png"}, "unknown name 'imgae'; did you mean 'image'"),
        ({"image": 7}, r"image = 7 \(int\).*papermill's -r"),
        ({"profile": "smok"}, "profile = 'smok'"),
    ],
)
def test_misspelt_and_ill_typed_parameters_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        GraphConstruction.from_notebook({**GOOD, **change})


def test_results_go_to_the_profiles_folder_unless_told():
    assert GraphConstruction(**GOOD).folder().parts[-3:] == ("runs", "smoke", "01_graph_construction")
    assert GraphConstruction(**{**GOOD, "out": "here"}).folder().parts == ("here",)
