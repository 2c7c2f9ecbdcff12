"""Do attributions point at the lesions? Scored on scans that the network has never seen (GFT, section 2.3).

Several importances of the same nodes are held against the exact lesions of phantoms: integrated gradients of
the trained network, the same of a network that was never trained, ``|z|`` of the features, which knows
training scans but no stage, and chance. The claim of an explanation is the lift over the last three. Scans
that are taken for healthy are explained as healthy, so those that are not are summed up on their own too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gftlib.errors import InputError
from gftlib.octa.attribution import Attribution, IGConfig
from gftlib.octa.batches import GraphTensors, from_octa_graph
from gftlib.octa.ceiling import ceiling
from gftlib.octa.explaining import explain, node_positions, read_attribution
from gftlib.octa.faithfulness import faithfulness_curves, randomisation_check
from gftlib.octa.fitting import seeded
from gftlib.octa.folds import TEST_SPLIT
from gftlib.octa.graph import OctaGraph
from gftlib.octa.graph_io import read_graph
from gftlib.octa.ig_baselines import Baseline
from gftlib.octa.lesion_scores import ANY, WHOLE, LesionScore, scan_truth, score_scan, summarise, z_importance
from gftlib.octa.ranking import node_importance
from gftlib.octa.scans import Scan
from gftlib.octa.staging import STAGES, StagingGNN
from gftlib.octa.staging_cohorts import stage_table
from gftlib.octa.training import FoldResult, fold_folder, read_fold
from gftlib.paths import root
from gftlib.profiles import Profile
from gftlib.results import beside
from gftlib.sections import AttributionSettings

TRAINED, SUPPORTING, UNTRAINED, UNUSUAL = (
    "integrated gradients",
    "integrated gradients, supporting part",
    "the same, never trained",
    "|z| of the features",
)
IMPORTANCES = (TRAINED, SUPPORTING, UNTRAINED, UNUSUAL)
EVERY, DISEASED, QUADRANT = "every scan", "scans taken for diseased", "quadrants of every scan"
"""Groups of scores; the public code explains no scan that is healthy."""
ABOUT = ["scan", "explained", "importance"]


@dataclass(frozen=True)
class Explained:
    """Scans with lesions, their graphs and how two networks were explained on them; all in the same order.

    Args:
        scans: See `unseen_scans`.
        graphs: Their graphs.
        network: The staging network.
        trained: Attributions of that network.
        untrained: Attributions of one with the same shape and fresh weights.
    """

    scans: list[Scan]
    graphs: list[OctaGraph]
    network: FoldResult
    trained: list[Attribution]
    untrained: list[Attribution]

    def normal(self, at: int) -> GraphTensors:
        """Return one graph as the network sees it."""
        return self.network.normalizer(from_octa_graph(self.graphs[at]))

    def importances(self, at: int) -> dict[str, dict[str, np.ndarray]]:
        """Return every importance of one scan's nodes."""
        return {
            TRAINED: node_importance(self.trained[at]),
            SUPPORTING: node_importance(self.trained[at], "supporting"),
            UNTRAINED: node_importance(self.untrained[at]),
            UNUSUAL: z_importance(self.normal(at)),
        }


def staging_network(profile: Profile, fold: int = 1, seed: int = 0) -> FoldResult:
    """Return the network of chapter 2 that is explained: its first candidate, one fold, one seed.

    Raises:
        MissingError: If chapter 2 has not been run for the profile.
    """
    folder = root() / "runs" / profile.name / "02_staging" / "gnn"
    return read_fold(fold_folder(folder, seed, fold) / "model.safetensors")


def ig_config(settings: AttributionSettings) -> IGConfig:
    """Return the settings of integrated gradients."""
    names = ("walk", "rule", "output", "steps", "stable", "top", "most_steps")
    return IGConfig(**{name: getattr(settings, name) for name in names})


def explain_unseen(
    profile: Profile,
    scans: Sequence[Scan],
    graphs: Mapping[str, Path],
    folder: Path,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Explained:
    """Attribute the unseen scans with lesions, by the trained network and by one with fresh weights.

    Args:
        profile: Its ``attribution`` section is used.
        scans: The phantom cohort.
        graphs: Graph file of each scan.
        folder: Gets the attributions.
        workers: Processes.
        progress: Called with (done, total), first for the one network, then for the other.

    Raises:
        InputError: If no unseen scan has a lesion.
    """
    settings = profile.attribution
    unseen = unseen_scans([scan for scan in scans if scan.name in graphs])[: settings.scans]
    if not unseen:
        raise InputError("no scan of the unseen split shows disease: there is nothing to explain")
    # A fresh process needs seconds to start: a few scans are done sooner without.
    workers = workers if len(unseen) > 20 else 1
    network = staging_network(profile)
    with seeded(profile.seed):
        fresh = StagingGNN(network.model.config).eval()
    found = {scan.name: read_graph(graphs[scan.name]) for scan in unseen}
    baseline = fitted_baseline(settings, network, scans, graphs)
    both = []
    for name, one in (("trained", network), ("untrained", FoldResult(fresh, network.normalizer, (), 0))):
        files = explain(
            found,
            one,
            ig_config(settings),
            folder / name,
            baseline=baseline,
            workers=workers,
            progress=progress,
        )
        both.append([read_attribution(path) for path in files.values()])
    return Explained(unseen, list(found.values()), network, *both)


def unseen_scans(scans: Sequence[Scan]) -> list[Scan]:
    """Return the scans of the unseen split: phantoms that have a lesion, real scans that are not healthy."""
    table = stage_table(scans)
    chosen = table[(table["split"] == TEST_SPLIT)].index
    return [
        scans[at]
        for at in chosen
        if (scans[at].phantom().lesions if scans[at].spec else table["stage"][at] > 0)
    ]


def fitted_baseline(
    settings: AttributionSettings, network: FoldResult, scans: Sequence[Scan], graphs: Mapping[str, Path]
) -> Baseline | None:
    """Return the start of the paths, fitted on scans that are not in the unseen split; None for zero."""
    if settings.baseline == "zero":
        return None
    there = [scan for scan in scans if scan.name in graphs]
    training = [there[at] for at in np.flatnonzero(stage_table(there)["split"] > 1)]
    read = [read_graph(graphs[scan.name]) for scan in training[: settings.baseline_scans]]
    normal = [network.normalizer(from_octa_graph(graph)) for graph in read]
    return Baseline(settings.baseline, settings.neighbours).fit(normal, [node_positions(g) for g in read])


def score(explained: Explained) -> pd.DataFrame:
    """Return one row a scan, importance, kind of lesion and scope; see `gftlib.octa.lesion_scores`.

    ``explained`` is the stage whose logit is attributed, the one that the trained network predicts. Real
    scans have no exact lesions: the table is empty.
    """
    rows = []
    for at, scan in enumerate(explained.scans if explained.scans[0].spec else ()):
        truth = scan_truth(explained.graphs[at], scan.phantom().lesions)
        for name, importance in explained.importances(at).items():
            about = {"scan": scan.name, "explained": STAGES[explained.trained[at].target], "importance": name}
            rows += [about | asdict(one) for one in score_scan(importance, truth)]
    return pd.DataFrame(rows, columns=[*ABOUT, *LesionScore.__dataclass_fields__])


def headline(path: Path) -> dict[str, Any]:
    """Return the means over scans by group, importance and kind of lesion, from ``predictions.csv``.

    The groups are whole scans, every one or those that the network takes for diseased, and quadrants.
    """
    table = pd.read_csv(path)
    whole = table["scope"] == WHOLE
    groups = {EVERY: whole, DISEASED: whole & (table["explained"] != STAGES[0]), QUADRANT: ~whole}
    return {name: _means(table[rows].assign(scope=name)) for name, rows in groups.items() if rows.any()}


def _means(table: pd.DataFrame) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, rows in table.groupby("importance", sort=False):
        scores = [LesionScore(**one) for one in rows.drop(columns=ABOUT).to_dict("records")]
        found[str(name)] = {
            one.kind: {"pointing": one.pointing, "chance": one.chance, "auroc": one.auroc, "scans": one.scans}
            for one in summarise(scores)
        }
    return found


def lesion_table(lesions: dict[str, Any]) -> pd.DataFrame:
    """Put the importances side by side: pointing game and AUROC by group and kind of lesion.

    Args:
        lesions: What `headline` gives; empty for real scans.
    """
    if not lesions:
        return pd.DataFrame({"": ["real scans have no exact lesions to score against"]})
    rows = {}
    for group, found in lesions.items():
        for kind in [ANY, *(kind for kind in found[TRAINED] if kind != ANY)]:
            numbers = found[TRAINED][kind]
            row: dict[tuple[str, str], Any] = {("", "number"): numbers["scans"]}
            row["pointing game", "chance"] = numbers["chance"]
            for title, score in (("pointing game", "pointing"), ("AUROC", "auroc")):
                row |= {(title, name): found[name][kind][score] for name in IMPORTANCES}
            rows[group, kind] = row
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return table.round(2)


def completeness(explained: Explained) -> pd.DataFrame:
    """Return steps, completeness error and overlap of the last two rankings, one row a scan."""
    rows = [
        {
            "scan": scan.name,
            "steps": one.steps,
            "gradients taken": one.evaluations,
            "completeness error": one.completeness_error,
            "top nodes and edges kept when steps are doubled": one.overlap,
        }
        for scan, one in zip(explained.scans, explained.trained, strict=True)
    ]
    return pd.DataFrame(rows)


def completeness_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the quartiles over scans of what `completeness` gives."""
    names = ["least", "25 %", "median", "75 %", "most"]
    numbers = table.drop(columns="scan").astype(float)
    return numbers.quantile([0.0, 0.25, 0.5, 0.75, 1.0]).T.set_axis(names, axis=1)


def ceiling_table(explained: Explained, top: int) -> pd.DataFrame:
    """Return what tables of the ``top`` nodes name, against the true lesions; see `gftlib.octa.ceiling`."""
    if not explained.scans[0].spec:
        return pd.DataFrame()
    lesions = [scan.phantom().lesions for scan in explained.scans]
    rows = []
    for name in (TRAINED, UNTRAINED, UNUSUAL):
        importances = [explained.importances(at)[name] for at in range(len(explained.scans))]
        found = ceiling(explained.graphs, importances, lesions, top)
        rows += [{"importance": name} | asdict(one) for one in found]
    return pd.DataFrame(rows)


def faithfulness(explained: Explained, scans: int, seed: int = 0) -> pd.DataFrame:
    """Return mean deletion and insertion curves of several rankings, one row a ranking and share of nodes."""
    rng = np.random.default_rng(seed)
    rows = []
    for at in range(min(scans, len(explained.scans))):
        graph, target = explained.normal(at), explained.trained[at].target
        rankings = {name: explained.importances(at)[name] for name in (TRAINED, UNUSUAL)}
        rankings["random"] = {kind: rng.random(len(x)) for kind, x in graph.x.items()}
        for name, importance in rankings.items():
            curves = faithfulness_curves(explained.network.model, graph, importance, target)
            for share, gone, there in zip(curves.shares, curves.deletion, curves.insertion, strict=True):
                rows.append({"ranking": name, "share": share, "deletion": gone, "insertion": there})
    return pd.DataFrame(rows).groupby(["ranking", "share"], sort=False).mean().reset_index()


def randomisation(explained: Explained, config: IGConfig, scans: int) -> pd.DataFrame:
    """Return, part by part from the output down, the rank correlation with a network that lost that part.

    A correlation that stays high says that the ranking owes more to the input than to what was learned.
    """
    rows = []
    for at in range(min(scans, len(explained.scans))):
        found = randomisation_check(explained.network.model, explained.normal(at), at, config)
        rows.append({f"without {name} and later": value for name, value in found})
    return pd.DataFrame(rows).mean().rename("Spearman").to_frame()


def example(explained: Explained) -> int:
    """Return which scan a figure shows: the first that is predicted to be diseased, else the first."""
    return next((at for at, one in enumerate(explained.trained) if one.target > 0), 0)


def larger(this: dict[str, Any], profile: str) -> tuple[dict[str, Any], str]:
    """Return the results of the full-size run that a page shows instead of its own, and which run it is.

    Args:
        this: Results of the page's own run, as they go into ``results.json``; may be filled later.
        profile: Of the page's own run.
    """
    full = beside("03_attribution", profile)
    return (full.results, full.about) if full else (this, "this run")
