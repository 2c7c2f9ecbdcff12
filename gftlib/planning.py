"""What a run of a profile will take, as far as it is known: from records of earlier runs and from prices.

Nothing measured is extrapolated. A notebook that was never run with a profile is "not measured" there, and
runs with other profiles are told beside it, each with its machine. Tuning on a GPU is
estimated by arithmetic and called so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gftlib import paths
from gftlib.errors import InputError, MissingError
from gftlib.needs import gpus, hosted, tuned_students
from gftlib.parameters import NOTEBOOKS
from gftlib.profiles import PROFILES, Profile
from gftlib.provenance import Record
from gftlib.sections import TeacherEndpoint
from gftlib.tuning_estimate import ASSUMED, SPLITS, Tuning, tunings


@dataclass(frozen=True)
class Measured:
    """What one run took.

    Attributes:
        record: Of the run.
        where: Its folder, below the root of the checkout.
    """

    record: Record
    where: str

    def told(self) -> str:
        """Return seconds, memory, machine and source in one line."""
        run, memory = self.record, f"{self.record.peak_memory_mb / 1024:.1f} GiB"
        return f"{duration(run.seconds)}, {memory}, {run.device} ({self.where}, {run.began[:10]})"


@dataclass(frozen=True)
class Step:
    """One notebook of a plan.

    Attributes:
        notebook: Its name.
        gpus: How many it asks for.
        weights: Bytes that the largest student takes on it, see `tuned_students`; 0 where they are not known.
        measured: The newest run with this profile, if there is one.
        elsewhere: The newest run with each other profile.
    """

    notebook: str
    gpus: int
    weights: int
    measured: Measured | None
    elsewhere: tuple[Measured, ...]


@dataclass(frozen=True)
class Cost:
    """What a hosted model is asked in a run.

    Attributes:
        part: Teacher, judge or captions.
        requests: Most requests, where none has been answered yet.
        usd: What their answers cost at most, each as long as allowed.
        cap: Where the record of this part stops; 0 for no limit.
        exact: The command that counts before anything is sent.
    """

    part: str
    requests: int
    usd: float
    cap: float
    exact: str

    def line(self) -> str:
        """Return it as one line of text."""
        stop = f"stops before {self.cap:g} USD are spent" if self.cap else "no limit is set"
        exact = f"; `{self.exact}` counts it exactly" if self.exact else ""
        return (
            f"{self.part}: up to {self.requests} requests, their answers at most {self.usd:.2f} USD, what is "
            f"sent comes on top; {stop}{exact}"
        )


def steps(profile: Profile) -> list[Step]:
    """Return every notebook with what is known of its time and memory."""
    found, students = [], tuned_students(profile)
    for notebook in NOTEBOOKS:
        weights = max((size for _, chapters, size in students if notebook[:2] in chapters), default=0)
        runs = {name: measured(notebook, name) for name in PROFILES}
        own = runs.pop(profile.name)
        others = tuple(run for run in runs.values() if run is not None)
        found.append(Step(notebook, gpus(profile, notebook), weights, own, others))
    return found


def measured(notebook: str, profile: str) -> Measured | None:
    """Return the newest whole run of a notebook with a profile, made here or published with the book."""
    found = []
    for base in ("runs", "book/results"):
        where = f"{base}/{profile}/{notebook}"
        try:
            record = Record.checked(paths.read_json(paths.root() / where / "record.json"), where)
        except MissingError:
            continue
        # A run on one scan of a user's own tells nothing of the cohort.
        if not record.parameters.get("image"):
            found.append(Measured(record, where))
    return max(found, key=lambda run: run.record.began, default=None)


def costs(profile: Profile) -> list[Cost]:
    """Return what the hosted models of a profile cost at most, by the prices that the profile states.

    Raises:
        InputError: If there is a budget and no price.
    """
    return list(_costs(profile))


def _costs(profile: Profile) -> Iterator[Cost]:
    asked, parts = profile.dialogue.endpoint, hosted(profile)
    corpora = len(profile.dialogue.folds)
    scans = round(profile.octa.scans * len(profile.dialogue.splits) / SPLITS) * corpora
    if "teacher" in parts:
        build = f"gftlib dialogue build --profile {profile.name} --dry-run"
        yield _cost("teacher, both stages", 2 * scans, asked, build, asked.batch)
    if "judge" in parts:
        judge = f"gftlib judge --profile {profile.name} --dry-run"
        yield _cost("judge, references and scores", 2 * profile.agent.samples, asked, judge)
    if "captions" in parts:
        yield _cost("captions", profile.bird.images, asked, "")


def _cost(part: str, requests: int, asked: TeacherEndpoint, exact: str, batch: bool = False) -> Cost:
    from gftlib.endpoint.sending import Settings

    prices = {"usd_in": asked.usd_in, "usd_out": asked.usd_out}
    if asked.max_usd and not sum(prices.values()):
        raise InputError("dialogue.endpoint: max_usd needs the prices usd_in and usd_out")
    settings = Settings(model=asked.model, max_tokens=asked.max_tokens, **prices)
    usd = settings.usd(0, requests * settings.max_tokens) * (1 - settings.batch_discount * batch)
    return Cost(part, requests, usd, asked.max_usd, exact)


def lines(profile: Profile) -> list[str]:
    """Return the plan of a profile as lines of text."""
    plan = steps(profile)
    unknown = {step.notebook for step in plan if step.measured is None}
    estimated = [one for one in tunings(profile) if one.notebook in unknown]
    told = [f"{profile.name}: time, peak memory of the notebook's own process, machine (source)"]
    for step in plan:
        asks = _gpu(step) if step.gpus else ""
        if step.measured:
            stale = ", code or settings have changed since" if step.measured.record.stale() else ""
            told.append(f"{step.notebook}: {step.measured.told()}{stale}{asks}")
        else:
            told.append(f"{step.notebook}: not measured{asks}")
            told += [f"    {run.record.parameters['profile']}: {run.told()}" for run in step.elsewhere]
            told += [f"    tuning, estimated: {part}" for part in _tunings(estimated, step.notebook)]
    known = [step.measured.record.seconds for step in plan if step.measured]
    rest = "" if len(known) == len(plan) else f" in {len(known)} of {len(plan)} notebooks, the others unknown"
    told.append(f"together: {duration(sum(known))}{rest}")
    if estimated:
        times = [one.seconds for one in estimated if one.seconds]
        part = f"{len(times)} of {len(estimated)} tunings"
        told.append(f"tuning, estimated: {duration(sum(times))} for {part}; {ASSUMED}")
    prices = costs(profile)
    told += [cost.line() for cost in prices] or ["hosted models: none, nothing is paid"]
    return told


def _tunings(estimated: list[Tuning], notebook: str) -> Iterator[str]:
    """Yield, for each student of a notebook, the time of its tunings."""
    by_student: dict[str, list[float]] = {}
    for one in estimated:
        if one.notebook == notebook:
            by_student.setdefault(one.student, []).append(one.seconds)
    for student, times in by_student.items():
        whole = duration(sum(times)) if all(times) else "not known, for want of its weights"
        yield f"{student}, {len(times)} arms, {whole}"


def _gpu(step: Step) -> str:
    if not step.weights:
        return "; asks for a GPU, memory not known"
    return f"; asks for a GPU, {step.weights / 2**30:.1f} GiB for the student alone"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
