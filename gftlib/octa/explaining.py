"""The attributions of many scans by one network: on disk, resumable, several processes (GFT, section 2.3).

One safetensors file a scan holds the contributions of its nodes and edges. A file is up to date if its header
names the same graph, network and settings.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from gftlib.errors import InputError, MissingError
from gftlib.jobs import Progress, run_jobs
from gftlib.octa.attribution import Attribution, IGConfig, integrated_gradients
from gftlib.octa.batches import GraphTensors, from_octa_graph
from gftlib.octa.graph import OctaGraph
from gftlib.octa.ig_baselines import Baseline
from gftlib.octa.training import FoldResult
from gftlib.paths import atomic_path

_SCALARS = ("target", "change", "steps", "evaluations", "overlap")


def explain(
    graphs: Mapping[str, OctaGraph],
    network: FoldResult,
    config: IGConfig,
    folder: Path | str,
    *,
    baseline: Baseline | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Attribute the predicted class of each scan that has no such file yet.

    Args:
        graphs: By scan name.
        network: The staging network that is explained, with its normaliser.
        config: Of integrated gradients.
        folder: Gets ``<scan name>.safetensors``.
        baseline: Start of the paths; the zero vector, which is the training mean, if not given.
        workers: Processes.
        progress: Called with (done, total) after each scan that was computed.

    Returns:
        The file of each scan, in the order given.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    common = _fingerprint(network, config, baseline)
    files = {name: folder / f"{name}.safetensors" for name in graphs}
    ready = {name: from_octa_graph(graph, -1) for name, graph in graphs.items()}
    keys = {name: hashlib.sha256(common + graph.digest).hexdigest() for name, graph in ready.items()}
    waiting = [name for name, path in files.items() if not _is_of(path, keys[name])]
    jobs = [(ready[name], node_positions(graphs[name]), files[name], keys[name]) for name in waiting]
    run_jobs(_explain_one, (network, config, baseline), jobs, workers, progress)
    return files


def read_attribution(path: Path | str) -> Attribution:
    """Read a file that `explain` wrote.

    Raises:
        MissingError: If there is no such file.
        InputError: If it holds something else.
    """
    if not Path(path).is_file():
        raise MissingError(f"no attribution {path}: run the attribution notebook first")
    with safe_open(path, framework="pt") as file:
        header = json.loads((file.metadata() or {}).get("attribution", "null"))
        if header is None:
            raise InputError(f"{path} holds no attribution")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no mapping
    nodes = {name[6:]: value for name, value in tensors.items() if name.startswith("nodes/")}
    edges = {
        tuple(name.split("/")[1:]): value for name, value in tensors.items() if name.startswith("edges/")
    }
    order = header["order"]
    return Attribution(
        {kind: nodes[kind] for kind in order["nodes"]},
        {tuple(relation): edges[tuple(relation)] for relation in order["edges"]},
        logits=tensors["logits"],
        **{name: header[name] for name in _SCALARS},
    )


def _explain_one(
    shared: tuple[FoldResult, IGConfig, Baseline | None],
    graph: GraphTensors,
    positions: dict,
    path: Path,
    key: str,
) -> None:
    network, config, baseline = shared
    normal = network.normalizer(graph)
    start = baseline(normal, positions) if baseline else None
    found = integrated_gradients(network.model, normal, config, start)
    tensors: dict[str, Tensor] = {f"nodes/{kind}": part for kind, part in found.nodes.items()}
    tensors |= {"edges/" + "/".join(relation): part for relation, part in found.edges.items()}
    tensors["logits"] = found.logits
    header = {name: getattr(found, name) for name in _SCALARS}
    header["order"] = {"nodes": list(found.nodes), "edges": [list(relation) for relation in found.edges]}
    with atomic_path(path) as temporary:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            temporary,
            {"attribution": json.dumps(header), "key": key},
        )


def node_positions(graph: OctaGraph) -> dict[str, np.ndarray]:
    """Return node type -> (n, 2) row and column in mask pixels."""
    return {"vessel": graph.vessel_pos, "ica": graph.ica_pos, "faz": graph.faz_pos}


def _fingerprint(network: FoldResult, config: IGConfig, baseline: Baseline | None) -> bytes:
    """Digest what all files of a folder depend on."""
    about = {"ig": dataclasses.asdict(config), "staging": dataclasses.asdict(network.model.config)}
    # How many replicas share a batch changes the time, not the result.
    about["ig"].pop("chunk")
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, value in sorted({**network.model.state_dict(), **network.normalizer.state()}.items()):
        digest.update(name.encode() + np.ascontiguousarray(value.cpu().numpy()).tobytes())
    if baseline is not None:
        digest.update(f"{baseline.kind} {baseline.k}".encode())
        for kind, values in sorted(baseline.values.items()):
            digest.update(kind.encode() + np.ascontiguousarray(values).tobytes())
    return digest.digest()


def _is_of(path: Path, key: str) -> bool:
    if not path.is_file():
        return False
    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get("key") == key
