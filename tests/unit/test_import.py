import subprocess
import sys

PROBE = """
import sys, time
start = time.perf_counter()
import gftlib, gftlib.cli, gftlib.parameters, gftlib.profiles, gftlib.provenance
heavy = {"torch", "torch_geometric", "transformers", "sklearn", "matplotlib", "numba", "pandas"}
print(sorted(heavy & sys.modules.keys()))
"""


def test_the_library_and_its_command_line_import_nothing_heavy():
    found = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
