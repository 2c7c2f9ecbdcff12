import subprocess
import sys


def gftlib(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "gftlib.cli", *arguments], capture_output=True, text=True, check=False
    )


def test_check_profile_prints_the_settings():
    done = gftlib("check", "profile", "smoke")
    assert done.returncode == 0
    assert '"name": "smoke"' in done.stdout


def test_an_error_is_one_line_without_a_traceback():
    done = gftlib("check", "profile", "smok")
    assert done.returncode == 1
    assert done.stderr.strip() == "gftlib: unknown profile 'smok'; did you mean 'smoke'?"
