import pytest

from gftlib.errors import InputError, MissingError
from gftlib.octa.scans import Scan, find_scans


@pytest.fixture
def folder(tmp_path):
    for name in ("scans/b.png", "scans/a.TIF", "scans/notes.txt", "masks/a.png", "one.png"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return tmp_path


def test_a_folder_of_scans_with_masks_for_some(folder):
    a, b = find_scans(folder / "scans", folder / "masks")
    assert a == Scan("a", folder / "scans" / "a.TIF", folder / "masks" / "a.png")
    assert b == Scan("b", folder / "scans" / "b.png", None)


def test_one_scan_with_its_mask_or_a_folder_of_masks(folder):
    scan = folder / "scans" / "a.TIF"
    mask = folder / "masks" / "a.png"
    assert find_scans(scan) == [Scan("a", scan)]
    assert find_scans(scan, mask) == find_scans(str(scan), folder / "masks") == [Scan("a", scan, mask)]


def test_environment_variables_in_paths(folder, monkeypatch):
    monkeypatch.setenv("OCTA_DATA", str(folder / "scans"))
    assert len(find_scans("${OCTA_DATA}")) == 2
    monkeypatch.delenv("OCTA_DATA")
    with pytest.raises(MissingError, match=r"variable in '\$\{OCTA_DATA\}' is not set"):
        find_scans("${OCTA_DATA}")


@pytest.mark.parametrize(
    ("image", "mask", "error", "message"),
    [
        ("none.png", "", MissingError, "no file or folder"),
        ("scans", "one.png", InputError, "must be one too"),
        ("masks/empty", "", MissingError, "looked for .bmp"),
    ],
)
def test_what_is_not_there_is_named(folder, image, mask, error, message):
    (folder / "masks" / "empty").mkdir()
    with pytest.raises(error, match=message):
        find_scans(folder / image, folder / mask if mask else "")


def test_scans_that_share_a_name_are_refused(folder):
    (folder / "scans" / "a.png").touch()
    with pytest.raises(InputError, match="share a name"):
        find_scans(folder / "scans")
