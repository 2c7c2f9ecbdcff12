"""The sections of a profile: every setting of every chapter, with its type, range and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gftlib.errors import InputError, did_you_mean


class Strict(BaseModel):
    """Base of all settings: frozen, no conversion of types, no unknown names."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @classmethod
    def checked(cls, values: Mapping[str, Any], where: str) -> Self:
        """Build the settings from ``values``.

        Args:
            values: Names and values, as read from a file or a notebook.
            where: What the values belong to, for the message.

        Raises:
            InputError: On an unknown name (with the nearest valid one), a wrong type or a value out of range.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise InputError("\n".join(_explain(cls, problem, where) for problem in error.errors())) from None


def _explain(model: type[BaseModel], problem: Any, where: str) -> str:
    *parents, name = [str(part) for part in problem["loc"]]
    place = ".".join([where, *parents])
    if problem["type"] == "extra_forbidden":
        known = model
        for parent in parents:
            known = known.model_fields[parent].annotation
        return f"{place}: unknown name {name!r}{did_you_mean(name, known.model_fields)}"
    if problem["type"] == "missing":
        return f"{place}: {name!r} is missing"
    value = problem["input"]
    hint = "; pass text with papermill's -r, not -p" if problem["type"] == "string_type" else ""
    return f"{place}: {name} = {value!r} ({type(value).__name__}): {problem['msg']}{hint}"


class OctaCohort(Strict):
    """Which OCTA scans the chapters of GFT work on."""

    source: Literal["phantom", "folder"] = Field(description="phantoms made here, or a folder of your own")
    scans: int = Field(ge=6, description="number of phantom scans (GFT, section 3: 1264)")
    path: str = Field(
        description="folder of scans when source is 'folder'; ${NAME} is read from the environment"
    )


class GraphSettings(Strict):
    """Chapter 1: from a vessel mask to the graph (GFT, section 2.2)."""

    field_mm: float = Field(gt=0, le=30, description="width of the scanned field, mm")
    min_spur_px: float = Field(ge=0, description="dead ends that reach less far past the wall are no vessels")
    merge_px: float = Field(ge=0, description="junctions this close along a segment are one, px")
    min_hole_px: int = Field(ge=0, description="background patches of at most so many pixels are filled")
    min_faz_mm: float = Field(gt=0, description="smallest inscribed radius of an FAZ, mm")
    faz_rule: Literal["inscribed", "centre"] = Field(description="'centre' is the public code's rule")


class Staging(Strict):
    """Chapter 2: staging by graph network and baselines (GFT, sections 2.2 and 4.1)."""

    presets: list[Literal["split2", "split3", "split5"]] = Field(
        min_length=1, description="candidates of the graph network; every method gets as many settings"
    )
    seeds: int = Field(ge=1, description="seeds of the graph network and of the classical methods")
    folds: list[int] = Field(min_length=1, description="folds, named by the split that validates, 1 to 5")
    epochs: int = Field(ge=1, description="most epochs of the graph network")
    resnet_epochs: int = Field(ge=0, description="epochs of ResNet-18; 0 leaves it out")
    resnet_size: int = Field(ge=32, description="side of the images that ResNet-18 sees, px")
    resnet_seeds: int = Field(ge=1, description="seeds of ResNet-18")
    resnet_folds: list[int] = Field(min_length=1, description="folds of ResNet-18; it takes most of the time")
    shifted: int = Field(ge=0, description="unseen scans judged again with found masks and by another device")
    segmentation: Literal["classical", "learned"] = Field(description="what finds masks that are not given")
    octa500: str = Field(description="folder of OCTA-500; left out if empty, or if its ${NAME} is not set")
    device: str = Field(description="where networks are trained: cpu, cuda")


class SkinSettings(Strict):
    """Chapter 7, first use case: dermoscopy with MONET (SCALE, section 2.3.1)."""

    source: Literal["phantom", "folder"] = Field(description="phantoms made here, or a folder of Derm7pt")
    samples: int = Field(ge=60, description="number of phantoms (Derm7pt: 1011)")
    path: str = Field(description="folder of Derm7pt; ${NAME} is read from the environment")
    encoder: str = Field(description="folder, file or hub id of MONET; empty: the embedded encoder")


class ChestSettings(Strict):
    """Chapter 7, second use case: radiographs with MedCLIP (SCALE, section 2.3.1)."""

    source: Literal["phantom", "folder"] = Field(description="phantoms made here, or a folder of PadChest-GR")
    samples: int = Field(ge=60, description="number of phantoms (SCALE: 748)")
    path: str = Field(description="folder of PadChest-GR; ${NAME} is read from the environment")
    encoder: str = Field(description="folder or file of MedCLIP; empty: the embedded encoder")
    views: int = Field(ge=0, description="augmented views of each image")
    flips: bool = Field(description="measure what mirrored views cost where left and right are the concept")


class ScaleSettings(Strict):
    """Chapter 7: methods and protocol (SCALE, section 2.3)."""

    clip: str = Field(description="folder, file or hub id of CLIP; empty: the embedded encoder")
    methods: list[str] = Field(description="lines of Figures 2 and 3, and ablations")
    fractions: list[float] = Field(description="shares of the training data")
    draws: int = Field(ge=1, description="stratified draws of a share")
    search_draws: int = Field(ge=1, description="draws on which the candidates of a method are compared")
    full_draws: int = Field(ge=1, description="trainings on all data, which differ in the seed")
    epochs: int = Field(ge=1, description="of adapters and probes (SCALE: 150)")
    ablation_fractions: list[float] = Field(description="shares at which SCALE's terms are left out")
    coop_epochs: int = Field(ge=1, description="of CoOp, whose gradients go through the text encoder")
    coop_draws: int = Field(ge=1, description="draws of CoOp")
    tuned_fractions: list[float] = Field(description="shares at which the encoders themselves are tuned")
    tuned_draws: int = Field(ge=1, description="draws of that")
    tuned_epochs: int = Field(ge=1, description="of LoRA and full fine-tuning")
    default_draws: int = Field(ge=1, description="draws on which each declared default is measured")
    default_fraction: float = Field(gt=0, le=1, description="share of the data on which that is done")
    device: str = Field(description="where encoders work and methods are trained: cpu, cuda")


class ScanCohort(Strict):
    """Chapters 8 and 9: which scans with instance masks (BiRD, section 3)."""

    source: Literal["phantom", "folder"] = Field(
        description="phantoms made here, or a folder in SA-Med2D's form"
    )
    images: int = Field(ge=3, description="phantoms of each modality; 3-D cases may lose near-duplicates")
    path: str = Field(description="folder of SA-Med2D; ${NAME} is read from the environment")


class BirdSettings(Strict):
    """Chapter 8: Med-GRIT records (BiRD, section 3)."""

    images: int = Field(ge=8, description="most images, balanced over modality and data set (BiRD: 60000)")
    gap: int = Field(ge=1, description="least distance between slices of one stack")
    overlap: float = Field(gt=0, le=1, description="masks of nearby slices overlap at most so much; 1: all")
    instances: Literal["file", "components"] = Field(description="one a mask file, or one a connected piece")
    test_share: float = Field(gt=0, lt=1, description="share of images in whole cases for testing")
    negatives: float = Field(ge=0, le=1, description="share of images asked for what is not there")
    box_format: Literal["qwen_vl", "qwen2_vl", "qwen3_vl", "qwen25_absolute"] = Field(
        description="grammar of boxes; BiRD's is Qwen-VL's"
    )
    captions: Literal["offline", "hosted"] = Field(
        description="by rule, or by the hosted teacher of chapter 4, who sees no image"
    )
    java: bool = Field(description="SPICE and METEOR are run where Java and their files are there")
    resamples: int = Field(ge=20, description="bootstrap resamples of an interval")


class GroundingSettings(Strict):
    """Chapter 9: tuning to refer and ground (BiRD, section 4.2)."""

    arms: dict[
        str,
        list[
            Literal[
                "20k", "40k", "80k", "240k", "negatives", "unfrozen",
                "VG alone", "ROC alone", "RC alone", "MIA alone",
            ]
        ],
    ] = Field(
        min_length=1,
        description="students by name, folder or hub id, and how each is tuned; sizes are shares of 240k",
    )  # fmt: skip
    epochs: float = Field(gt=0, description="passes over the records of an arm (BiRD's code: 2)")
    lr: float = Field(gt=0, description="highest learning rate of BiRD's own weights (BiRD: 2e-5)")
    lr_adapter: float = Field(gt=0, description="highest learning rate of an adapter")
    rank: int = Field(ge=1, description="of LoRA")
    alpha: int = Field(ge=1, description="of LoRA")
    dropout: float = Field(ge=0, lt=1, description="of LoRA")
    warmup: int = Field(ge=0, description="steps on which the learning rate rises, before its cosine")
    weight_decay: float = Field(ge=0, description="of AdamW (BiRD's code: 0.1)")
    pairs: int = Field(ge=1, description="most questions of an image in one step")
    images: int = Field(ge=1, description="images a step and device")
    accumulate: int = Field(ge=1, description="steps whose gradients are averaged")
    precision: Literal["fp32", "bf16"] = Field(description="mixed precision")
    dtype: Literal["float32", "bfloat16"] = Field(description="of the weights")
    checkpointing: bool = Field(description="recompute activations; then no image pass is shared")
    device: str = Field(description="where students are tuned: cpu, cuda")
    tested: int = Field(ge=8, description="most test images, as many of each modality (BiRD: about 7000)")
    general: int = Field(
        ge=1, description="test images on which neutral questions are asked, before and after"
    )
    decoded: int = Field(ge=1, description="images at once in decoding")
    longest: int = Field(ge=1, description="most tokens of an answer (BiRD's code: 80 to 100)")


class AttributionSettings(Strict):
    """Chapter 3: integrated gradients (GFT, section 2.3) and how they are held against the lesions."""

    walk: Literal["joint", "node"] = Field(description="what moves from the baseline to the graph")
    rule: Literal["gausslegendre", "midpoint", "trapezoid"] = Field(description="quadrature over the path")
    output: Literal["logit", "log_odds"] = Field(description="what is attributed")
    steps: int = Field(ge=2, description="steps of the first pass")
    stable: float = Field(ge=0, le=1, description="shared part of two rankings that ends the doubling")
    most_steps: int = Field(ge=2, description="no pass has more steps")
    top: int = Field(ge=1, description="nodes that a table names")
    baseline: Literal["zero", "mean", "median", "quantile"] = Field(description="start of the path")
    baseline_scans: int = Field(ge=1, description="training scans that a baseline other than zero is made of")
    neighbours: int = Field(ge=1, description="training nodes near a node that make its baseline")
    scans: int = Field(ge=1, description="unseen scans with lesions that are scored")
    curves: int = Field(ge=1, description="of them, how many are deleted and randomised")


class TeacherEndpoint(Strict):
    """The hosted teacher; its key comes from the environment alone, as does what ``${NAME}`` stands for."""

    model: str = Field(description="name of the model at the endpoint")
    base_url: str = Field(description="address; empty: OPENAI_BASE_URL, else OpenAI's own")
    max_tokens: int = Field(ge=1, description="longest answer; all pairs of a scan are one answer")
    concurrency: int = Field(ge=1, description="requests at once")
    requests_per_minute: float = Field(ge=0, description="0: no limit of our own")
    usd_in: float = Field(ge=0, description="US dollars per million input tokens")
    usd_out: float = Field(ge=0, description="US dollars per million output tokens")
    max_usd: float = Field(ge=0, description="most that may ever be spent on this record")
    batch: bool = Field(description="ask through batch jobs: half the price, within a day")


class TuningSettings(Strict):
    """Chapters 5 and 6: the students and how they are tuned (GFT, section 2.5)."""

    students: dict[str, int] = Field(min_length=1, description="name, folder or hub id of each: its seeds")
    arms: list[
        Literal["BS", "FT", "GFT", "GFT-frozen", "GFT-labels", "GFT-shuffled", "GFT-few", "GFT-truth"]
    ] = Field(min_length=1, description="what is compared; BS is the student as it came")
    experiments: list[Literal["GFT-frozen", "GFT-labels", "GFT-few", "GFT-truth"]] = Field(
        description="those of the arms that have one seed: they ask why, and are not what is compared"
    )
    rank: int = Field(ge=1, description="of LoRA (the paper's code: 64)")
    alpha: int = Field(ge=1, description="of LoRA (the paper's code: 64)")
    dropout: float = Field(ge=0, lt=1, description="of LoRA (the paper's code: 0.1)")
    first_lr: float = Field(gt=0, description="highest learning rate of stage 1 (the paper's code: 2e-4)")
    second_lr: float = Field(gt=0, description="highest learning rate of stage 2 (the paper's code: 2e-4)")
    first_epochs: float = Field(gt=0, description="of stage 1 (the paper's code: 4)")
    second_epochs: float = Field(gt=0, description="of stage 2 (the paper's code: 1)")
    first_parts: Literal["vision", "both"] = Field(
        description="what learns in stage 1: the image's layers (the paper), or the language's too (its code)"
    )
    rehearsals: int = Field(
        ge=0,
        description="times that stage 2 goes through the lessons of stage 1 as well; the paper: 0",
    )
    balanced: bool = Field(
        description="rare stages as often as the commonest, as staging weighs them; the paper's code: false"
    )
    pairs: int = Field(ge=1, description="most pairs of an image in one step, for one pass over the image")
    images: int = Field(ge=1, description="images a step and device")
    accumulate: int = Field(ge=1, description="steps whose gradients are averaged")
    optimizer: Literal["adamw", "adamw_8bit"] = Field(description="adamw_8bit needs bitsandbytes")
    precision: Literal["fp32", "bf16"] = Field(description="mixed precision")
    dtype: Literal["float32", "bfloat16"] = Field(description="of the frozen weights")
    four_bit: bool = Field(description="quantise the frozen weights to 4 bits; needs bitsandbytes")
    checkpointing: bool = Field(description="recompute activations; then no image pass is shared")
    device: str = Field(description="where students are tuned: cpu, cuda")


class AgentSettings(Strict):
    """Chapter 6: what tuned students are asked (GFT, section 3)."""

    explained: int = Field(ge=1, description="unseen scans on which explanations are examined")
    shifted: int = Field(ge=0, description="unseen scans judged again by another device")
    samples: int = Field(ge=1, description="scans in the judge's and the experts' study (the paper: 8)")
    images: int = Field(ge=1, description="images at once")
    longest: int = Field(ge=1, description="most tokens of an answer (the paper's code: 2048)")
    temperature: float = Field(ge=0, description="0 takes the likeliest token; the paper's code: 0.5")
    judge: Literal["offline", "hosted"] = Field(description="by rule, or a model at the teacher's endpoint")


class HostedSettings(Strict):
    """Chapter 6: a large hosted model, tuned through its service (GFT, section 2.5)."""

    model: str = Field(description="name of the base model at the service")
    base_url: str = Field(description="address; empty: OPENAI_BASE_URL, else OpenAI's own")
    suffix: str = Field(max_length=64, description="part of the tuned model's name")
    epochs: int | Literal["auto"] = Field(
        description="auto leaves them to the service (the paper), and then no price can be told beforehand"
    )
    usd_per_million: float = Field(ge=0, description="US dollars per million training tokens")
    max_usd: float = Field(ge=0, description="most that a tuning may cost; 0: no limit of our own")
    poll_s: float = Field(ge=0, description="seconds between two looks at the job")
    timeout_s: float = Field(gt=0, description="longest call, the upload among them")
    cases: int = Field(ge=0, le=9, description="similar cases shown with each scan (the paper: 3); 0: none")
    scaling: Literal["raw", "zscore"] = Field(description="counts as they are, or z-scores over the cases")
    measure: Literal["count", "density"] = Field(description="counts, or counts per mm2")


class DialogueSettings(Strict):
    """Chapter 4: from explanation to words (GFT, section 2.4)."""

    teacher: Literal["offline", "hosted"] = Field(description="by rule from the table, or a model")
    splits: list[Annotated[int, Field(ge=1, le=5)]] = Field(
        min_length=1, description="splits that are taught in fold 1, shifted by one a fold; split 0 never is"
    )
    folds: list[Annotated[int, Field(ge=1, le=5)]] = Field(
        min_length=1, description="folds whose networks explain, a corpus and students of its own each"
    )
    stage_source: Literal["label", "predicted"] = Field(
        description="the stage that the teacher is told: the label (the paper) or the network's (its code)"
    )
    rows: bool = Field(description="node and edge rows in the prompt (the paper) or out (its code)")
    findings: bool = Field(description="findings by rule in the prompt; the paper leaves them to the teacher")
    explained: bool = Field(
        description="stage 1 explains the key features (the paper) or is one word (its code)"
    )
    pairs: int = Field(ge=1, le=60, description="stage 2 pairs a scan (the paper: 30, its code: 4)")
    top: int = Field(ge=1, description="nodes, and edges, in a table")
    send_images: bool = Field(description="the hosted teacher sees scan and heatmap, where consent is given")
    endpoint: TeacherEndpoint
