"""What runs elsewhere, checked as far as it can be here: pins, permissions, and what publishing pushes."""

import os
import re
import subprocess

import pytest
import yaml

from gftlib import paths

ROOT = paths.root()
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_to_a_commit_and_nothing_may_write_unasked(path):
    text = path.read_text(encoding="utf-8")
    for used in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used)
    assert yaml.safe_load(text)["permissions"]["contents"] == ("write" if path.stem == "publish" else "read")


def test_publishing_leaves_one_commit_without_a_parent(tmp_path):
    jobs = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text(encoding="utf-8"))["jobs"]
    (script,) = [step["run"] for step in jobs["publish"]["steps"] if "git push" in step.get("run", "")]
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(remote)], check=True)
    environment = {
        **os.environ,
        "TOKEN": "secret",
        "GITHUB_SHA": "0" * 40,
        "GITHUB_REPOSITORY": "some/book",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{remote}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://x-access-token:secret@github.com/some/book.git",
    }
    for text in ("first", "second"):
        pages = tmp_path / text / "_build" / "html"
        pages.mkdir(parents=True)
        (pages / "index.html").write_text(text)
        subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path / text, env=environment, check=True)

    def asked(*arguments):
        return subprocess.run(
            ["git", "--git-dir", str(remote), *arguments], capture_output=True, text=True, check=True
        ).stdout

    assert len(asked("rev-list", "--all").splitlines()) == 1
    assert asked("ls-tree", "--name-only", "gh-pages").split() == [".nojekyll", "index.html"]
    assert asked("show", "gh-pages:index.html") == "second"


def test_the_script_that_decides_is_sound_shell():
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)
