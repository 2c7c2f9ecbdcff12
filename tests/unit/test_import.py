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


USED = """
import sys
import gftlib.agent, gftlib.octa.scans, gftlib.needs, gftlib.planning
import gftlib.dialogue.prompts, gftlib.vlm.backbones, gftlib.vlm.chat
print(sorted({"captum", "peft", "sklearn", "transformers.distributed"} & sys.modules.keys()))
"""


def test_what_asks_checks_and_plans_loads_no_library_of_other_work():
    found = subprocess.run([sys.executable, "-c", USED], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
