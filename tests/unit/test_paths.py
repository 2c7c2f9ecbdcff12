import json

import pytest

from gftlib import paths
from gftlib.errors import InputError, MissingError


def test_atomic_path_leaves_nothing_after_a_failure(tmp_path):
    target = tmp_path / "deep" / "table.json"
    with pytest.raises(RuntimeError), paths.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []


def test_atomic_path_keeps_the_old_file_until_the_new_one_is_whole(tmp_path):
    target = tmp_path / "table.json"
    target.write_text("old")
    with paths.atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["table.json"]


def test_json_round_trip_and_refusal_of_nan(tmp_path):
    content = {"b": [1, 2.5, "é"], "a": None}
    assert paths.read_json(paths.write_json(tmp_path / "x.json", content)) == content
    with pytest.raises(ValueError, match="not JSON compliant"):
        paths.write_json(tmp_path / "y.json", {"a": float("nan")})
    assert not (tmp_path / "y.json").exists()


def test_read_json_says_where_a_file_is_broken(tmp_path):
    (tmp_path / "x.json").write_text('{"a": 1,\n"b" 2}')
    with pytest.raises(InputError, match=r"x\.json is not valid JSON.*line 2"):
        paths.read_json(tmp_path / "x.json")
    with pytest.raises(MissingError, match="no file"):
        paths.read_json(tmp_path / "none.json")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd"])
def test_a_name_cannot_leave_its_folder(tmp_path, name):
    with pytest.raises(InputError, match="leaves its folder"):
        paths.inside(tmp_path, name)
    assert paths.inside(tmp_path, "a/../b") == tmp_path.resolve() / "b"


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert paths.sha256(tmp_path / "x") == paths.sha256(b"abc") == expected


def test_root_must_hold_notebooks(tmp_path, monkeypatch):
    monkeypatch.setenv("GFTLIB_ROOT", str(tmp_path))
    with pytest.raises(MissingError, match="GFTLIB_ROOT"):
        paths.root()


def test_published_json_is_readable_by_others(tmp_path):
    path = paths.write_json(tmp_path / "x.json", {})
    assert json.loads(path.read_text()) == {}
    assert path.stat().st_mode & 0o400


def test_what_a_kill_leaves_is_no_file_of_its_kind(tmp_path):
    with paths.atomic_path(tmp_path / "part.jsonl"):
        assert not list(tmp_path.glob("*.jsonl"))


def test_links_do_not_leave_a_folder_either(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out.png").write_bytes(b"")
    (tmp_path / "in" / "a.png").symlink_to(tmp_path / "out.png")
    with pytest.raises(InputError, match="leaves its folder"):
        paths.inside(tmp_path / "in", "a.png")
