"""Runs the notebooks of one profile and publishes them as a book: `snakemake --cores 2 --config profile=smoke`."""

from pathlib import Path

from gftlib.needs import gpus
from gftlib.parameters import NOTEBOOKS
from gftlib.profiles import PROFILES, load_profile, profile_files
from gftlib.sources import notebook_sources, source_files

PROFILE = config.get("profile", "smoke")
if PROFILE not in PROFILES:
    raise ValueError(f"unknown profile {PROFILE!r}; known: {', '.join(PROFILES)}")
SETTINGS = load_profile(PROFILE)
# Notebooks side by side, which share the cores: much of one is spent where a second worker is of no use.
AT_ONCE = int(config.get("at_once", 1))
RUNS = f"runs/{PROFILE}"
LOGS = f"logs/{PROFILE}"
# The records a notebook waits for, besides its own sources.
UPSTREAM = {
    # Scans of one's own are in their folder.
    "01_graph_construction": (
        ["cohorts/octa/cohort.json"] if SETTINGS.octa.source == "phantom" else []
    ),
    "02_staging": ["01_graph_construction/record.json"],
    "03_attribution": ["02_staging/record.json"],
    "04_dialogue": [
        "01_graph_construction/record.json",
        "02_staging/record.json",
        "03_attribution/record.json",
    ],
    "05_lora_tuning": ["04_dialogue/record.json"],
    "06_agent_evaluation": ["04_dialogue/record.json", "05_lora_tuning/record.json"],
    "07_scale": [],
    "08_bird_dataset": [],
    "09_bird_grounding": ["08_bird_dataset/record.json"],
    "10_results": [],
}
PROSE = sorted(
    str(path)
    for path in Path("book").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)
# With `--config grid=1`, chapter 7's cells are jobs of their own, a method each; the notebook goes on from them.
USE_CASES, GRID, FOLLOWS = ("monet", "medclip"), [], {}
if int(config.get("grid", 0)):
    from gftlib.scale.baselines import METHODS

    # The method whose search another takes over comes first.
    FOLLOWS = {name: [own.follows] for name, own in METHODS.items() if own.follows}
    GRID = [
        f"{RUNS}/07_scale/jobs/{use_case}-{method}.done"
        for use_case in USE_CASES
        for method in SETTINGS.scale.methods
    ]
# Published runs that a notebook quotes besides its own.
QUOTED = {
    "05_lora_tuning": ["02_staging"],
    "06_agent_evaluation": ["02_staging", "04_dialogue"],
    "09_bird_grounding": ["08_bird_dataset"],
    "10_results": NOTEBOOKS,
}


def published(name):
    """Results in the book that a notebook quotes."""
    quoted = [f"*/{other}/results.json" for other in {name, *QUOTED.get(name, ())}]
    if name in ("01_graph_construction", "02_staging"):
        quoted.append("real/*.json")
    return sorted(
        str(path) for glob in quoted for path in Path("book/results").glob(glob)
    )


def weights(name):
    """Weights in the package that a notebook's networks begin from."""
    return relative(NOTEBOOKS[name].weights())


def workers(name, threads):
    """Processes of a notebook: on a GPU one, since each would put a network of its own on the card."""
    return 1 if gpus(SETTINGS, name) else threads


def relative(files):
    """Paths as Snakemake should show them."""
    return [str(Path(path).relative_to(Path.cwd())) for path in files]


wildcard_constraints:
    name="|".join(NOTEBOOKS),
    use_case="|".join(USE_CASES),


localrules:
    book,
    runs,


rule book:
    input:
        "_build/html/index.html",


rule runs:
    input:
        expand(f"{RUNS}/notebooks/{{name}}.ipynb", name=NOTEBOOKS),


rule octa_cohort:
    input:
        lib=relative(source_files(["gftlib.octa.cohort"])),
        profile=relative(profile_files(PROFILE)),
    output:
        f"{RUNS}/cohorts/octa/cohort.json",
    log:
        f"{LOGS}/octa_cohort.log",
    threads: workflow.cores
    message:
        "growing the OCTA cohort"
    shell:
        "gftlib cohort octa --profile {PROFILE} --workers {threads} > {log} 2>&1"


rule scale_embeddings:
    input:
        lib=relative(source_files(["gftlib.scale.study"])),
        profile=relative(profile_files(PROFILE)),
        weights=weights("07_scale"),
    output:
        touch(f"{RUNS}/07_scale/jobs/{{use_case}}.embedded"),
    log:
        f"{LOGS}/scale_{{use_case}}.log",
    resources:
        gpu=gpus(SETTINGS, "07_scale"),
    message:
        "embedding the images and texts of {wildcards.use_case}"
    shell:
        "gftlib scale embed {wildcards.use_case} --profile {PROFILE} > {log} 2>&1"


rule scale_cells:
    input:
        f"{RUNS}/07_scale/jobs/{{use_case}}.embedded",
        chosen=lambda wildcards: [
            f"{RUNS}/07_scale/jobs/{wildcards.use_case}-{name}.done"
            for name in FOLLOWS.get(wildcards.method, [])
        ],
    output:
        touch(f"{RUNS}/07_scale/jobs/{{use_case}}-{{method}}.done"),
    log:
        f"{LOGS}/scale_{{use_case}}_{{method}}.log",
    resources:
        gpu=gpus(SETTINGS, "07_scale"),
    message:
        "training {wildcards.method} on {wildcards.use_case}"
    shell:
        "gftlib scale cells {wildcards.use_case} {wildcards.method} --profile {PROFILE} > {log} 2>&1"


# papermill writes to the log, which outlives a failure; only a notebook that ran to its end reaches runs/.
rule notebook:
    input:
        nb="notebooks/{name}.ipynb",
        lib=lambda wildcards: relative(
            notebook_sources(Path(f"notebooks/{wildcards.name}.ipynb").resolve())
        ),
        profile=relative(profile_files(PROFILE)),
        upstream=lambda wildcards: [
            f"{RUNS}/{path}" for path in UPSTREAM[wildcards.name]
        ],
        cells=lambda wildcards: GRID if wildcards.name == "07_scale" else [],
        published=lambda wildcards: published(wildcards.name),
        weights=lambda wildcards: weights(wildcards.name),
    output:
        nb=f"{RUNS}/notebooks/{{name}}.ipynb",
        record=f"{RUNS}/{{name}}/record.json",
    log:
        nb=f"{LOGS}/{{name}}.ipynb",
        txt=f"{LOGS}/{{name}}.log",
    retries: 1
    threads: max(1, workflow.cores // AT_ONCE)
    resources:
        gpu=lambda wildcards: gpus(SETTINGS, wildcards.name),
    params:
        workers=lambda wildcards, threads: workers(wildcards.name, threads),
    message:
        "running notebook {wildcards.name}"
    shell:
        "papermill {input.nb} {log.nb} -r profile {PROFILE} -p workers {params.workers} --no-progress-bar --log-output > {log.txt} 2>&1"
        " && cp {log.nb} {output.nb}"


rule explorer:
    input:
        graphs=f"{RUNS}/01_graph_construction/record.json",
        record=f"{RUNS}/03_attribution/record.json",
        lib=relative(source_files(["gftlib.octa.explorer"])),
        template="gftlib/octa/explorer.html.jinja",
    output:
        f"{RUNS}/explorer/index.html",
        f"{RUNS}/explorer/about.html",
    log:
        f"{LOGS}/explorer.log",
    message:
        "drawing the explorer"
    shell:
        "gftlib explorer --profile {PROFILE} > {log} 2>&1"


rule stage:
    input:
        nbs=rules.runs.input,
        explorer=rules.explorer.output,
        prose=PROSE,
        config="_config.yml",
        toc="_toc.yml",
        lib=relative(source_files(["gftlib.book"])),
        documented=sorted(str(path) for path in Path("gftlib").rglob("*.py")),
    output:
        directory("_stage"),
    message:
        "staging the pages"
    shell:
        "gftlib stage {RUNS} {output}"


rule html:
    input:
        "_stage",
    output:
        "_build/html/index.html",
    log:
        f"{LOGS}/book.log",
    message:
        "building the book"
    shell:
        "jupyter-book build _stage --path-output . -n -W --keep-going > {log} 2>&1 || (tail -n 40 {log}; exit 1)"
