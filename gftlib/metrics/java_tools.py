"""METEOR 1.5 and SPICE by the real programs of pycocoevalcap, each started once for a whole corpus.

pycocoevalcap carries METEOR with all its files; SPICE also needs Stanford CoreNLP 3.6.0 (two jars), which its
licence keeps out of the package. Both need Java. Where something is missing, `MissingError` names it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gftlib.errors import GftError, MissingError
from gftlib.metrics.intervals import Score, ratio_of_sums
from gftlib.metrics.ngrams import References, split

# METEOR 1.5's parameters for English: recall, fragmentation (two), content words; then four match stages.
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_STAGES = np.array([1.0, 0.6, 0.8, 0.6])
_CORENLP = ("lib/stanford-corenlp-3.6.0.jar", "lib/stanford-corenlp-3.6.0-models.jar")


def meteor(candidates: Sequence[str], references: References, tokenized: bool = False) -> Score:
    """Return METEOR 1.5, equal to pycocoevalcap's, with one start of its program.

    The program aligns the captions; its statistics are added up and scored here, which is the same sum and
    formula and lets any group or bootstrap sample be scored without asking again.

    Args:
        candidates: One caption an item.
        references: One reference, or several, an item.
        tokenized: As in `gftlib.metrics.ngrams.split`.

    Raises:
        InputError: As `gftlib.metrics.ngrams.split`.
        MissingError: If Java, pycocoevalcap or one of its files is not there.
        GftError: If the program fails.
    """
    folder = _folder("meteor", ("meteor-1.5.jar", "data/paraphrase-en.gz"))
    items = split(candidates, references, tokenized)
    # The bars separate fields.
    clean = [[" ".join(tokens).replace("|||", "") for tokens in item] for item in items]
    lines = [" ||| ".join(["SCORE", *wanted, candidate]) for candidate, *wanted in clean]
    command = ["-Xmx2G", "-jar", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm"]
    answer = _java(command, folder, "".join(line + "\n" for line in lines))
    rows = [[float(number) for number in line.split()] for line in answer.splitlines()]
    if len(rows) != len(items) or any(len(row) != 23 for row in rows):
        raise GftError(f"METEOR answered {len(rows)} lines for {len(items)} captions")
    statistics = np.array(rows, dtype=float).reshape(-1, 23)
    perfect = (
        (statistics[:, 20] == 1)
        & (statistics[:, 21] == statistics[:, 0])
        & (statistics[:, 22] == statistics[:, 1])
    )
    # A caption matched whole has no fragmentation; its one chunk does not count in a corpus either.
    statistics[perfect, 20] = 0
    return Score.of(lambda index: float(_meteor(statistics[index].sum(axis=0))), _meteor(statistics))


def _meteor(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return METEOR of (..., 23) statistics: lengths, function words, matches by stage, chunks, totals."""
    length, function = statistics[..., 0:2], statistics[..., 2:4]
    stages = statistics[..., 4:20].reshape(*statistics.shape[:-1], 4, 4)
    content, functional = (
        np.einsum("s,...sk->...k", _STAGES, stages[..., part]) for part in ([0, 1], [2, 3])
    )
    weight = _DELTA * (length - function) + (1 - _DELTA) * function
    precision, recall = np.moveaxis(_over(_DELTA * content + (1 - _DELTA) * functional, weight), -1, 0)
    mean = _over(precision * recall, _ALPHA * precision + (1 - _ALPHA) * recall)
    fragmentation = _over(statistics[..., 20], statistics[..., 21:23].mean(axis=-1))
    return mean * (1 - _GAMMA * fragmentation**_BETA)


def _over(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(top, bottom, out=np.zeros_like(np.asarray(top)), where=np.asarray(bottom) > 0)


def spice(candidates: Sequence[str], references: References, tokenized: bool = False) -> Score:
    """Return SPICE, the F1 of scene-graph tuples, by its own program started once; arguments as `meteor`.

    Raises:
        InputError: As `gftlib.metrics.ngrams.split`.
        MissingError: If Java, pycocoevalcap or CoreNLP 3.6.0 is not there.
        GftError: If the program fails.
    """
    folder = _folder("spice", ("spice-1.0.jar", *_CORENLP))
    items = split(candidates, references, tokenized)
    content = [
        {"image_id": i, "test": " ".join(candidate), "refs": [" ".join(tokens) for tokens in wanted]}
        for i, (candidate, *wanted) in enumerate(items)
    ]
    with tempfile.TemporaryDirectory(prefix="gftlib-spice-") as scratch:
        asked, answered = Path(scratch, "in.json"), Path(scratch, "out.json")
        asked.write_text(json.dumps(content), encoding="utf-8")
        _java(
            ["-Xmx8G", "-jar", "spice-1.0.jar", str(asked), "-out", str(answered), "-subset", "-silent"],
            folder,
        )
        results = json.loads(answered.read_text(encoding="utf-8"))
    f1 = {result["image_id"]: result["scores"]["All"]["f"] for result in results}
    per_item = np.array([f1[i] for i in range(len(items))], dtype=float)
    return Score.of(ratio_of_sums(per_item), per_item)


def _folder(tool: str, files: Sequence[str]) -> Path:
    package = importlib.util.find_spec("pycocoevalcap")
    if package is None or not package.submodule_search_locations:
        raise MissingError(f"{tool.upper()} needs the package pycocoevalcap: pip install pycocoevalcap")
    if shutil.which("java") is None:
        raise MissingError(f"{tool.upper()} needs Java (java on PATH; Debian: default-jre-headless)")
    folder = Path(package.submodule_search_locations[0], tool)
    for name in files:
        if not (folder / name).is_file():
            raise MissingError(f"{tool.upper()} needs {name} in pycocoevalcap's folder {tool}/")
    return folder


def _java(arguments: Sequence[str], folder: Path, text: str = "") -> str:
    # Read by Java 9 and later alone: decimal points in any locale, and reflection for SPICE's old libraries.
    opened = " ".join(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("lang", "math", "util"))
    environment = os.environ | {"JDK_JAVA_OPTIONS": f"-Duser.language=en -Duser.country=US {opened}"}
    done = subprocess.run(
        ["java", *arguments],
        cwd=folder,
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GftError(f"java {' '.join(arguments)} failed ({done.returncode}): {done.stderr.strip()[-500:]}")
    return done.stdout
