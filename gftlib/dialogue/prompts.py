"""What teacher and student are told: system prompts, background knowledge, instructions by stage.

The words are ours; the paper prints none. Its public code explains vessel features alone and asks for four
pairs, never to mention overlay or raw numbers (both kept as rules here); areas and FAZ are added, and the
number of pairs is the caller's.
"""

from __future__ import annotations

from typing import Literal

from gftlib.boxes import QUADRANTS
from gftlib.dialogue.questions import PLAN, STAGE_WORDS
from gftlib.octa.features import FEATURES

TEACHER = """You are an experienced retina specialist who writes teaching dialogues about OCTA scans of the
deep vascular complex. A student will learn to answer your questions from the raw scan alone.

You are given notes on one scan: its stage, the densities of its vascular network by quadrant, the size of its
foveal avascular zone (FAZ), findings with their places, and the vessels and intercapillary areas that weighed
most in an automatic staging. If images come along, the first shows the scan with the weight of each structure
in colour, the second is the raw scan.

Rules:
- State only what the notes support. Where they are silent, ask about something else or answer that nothing
  abnormal is seen. Ask also about abnormalities that are not there.
- Name places in three ways where it helps: the quadrant (UL, UR, LL, LR: upper left and so on, as seen in the
  image), the position relative to the FAZ, and the clock position around it.
- Explain in clinical words. Never mention the notes, the colours, an automatic staging, identifiers of
  structures or findings, or any measured number, share or score; clock positions are allowed.
- The student sees one raw image: speak of "the scan" and of nothing else.
- When an answer points at findings, give their identifiers in "findings" (FAZ for the foveal avascular zone)
  and leave coordinates out."""

FEATURE_LINES = "\n".join(
    f"- {node} {info.name}: {info.definition}"
    for node, infos in (("vessel", FEATURES["vessel"]), ("area or FAZ", FEATURES["ica"]))
    for info in infos
)
"""What each feature of the notes is; centroids are places in mm."""

BACKGROUND = (
    "OCTA shows blood flow in the retina: vessels are bright, areas without flow are dark.",
    "The dark zone in the middle is the foveal avascular zone (FAZ); it grows when its capillaries close.",
    "In diabetic retinopathy capillaries close (non-perfusion), vessels dilate, bulge or wind.",
    "Proliferative disease (PDR) grows new, tangled vessels; non-proliferative disease (NPDR) does not.",
    "Quadrants are named as seen in the image: upper left, upper right, lower left, lower right.",
)
"""The few lines of background knowledge that a student's prompt holds (GFT, section 1)."""

STUDENT = {
    1: f"Stage the scan as one of: {', '.join(STAGE_WORDS.values())}. Name the features that lead you there.",
    2: "Answer the question about the scan. Say in which quadrant you see what you describe.",
}
"""What a student is asked to do in each stage."""


def student_system(stage: Literal[1, 2], background: bool = True) -> str:
    """Return the student's system text; the public code trains without the background lines."""
    return "\n".join([*(BACKGROUND if background else ()), STUDENT[stage]])


def teacher_task(stage: Literal[1, 2], count: int, explained: bool = True) -> str:
    """Return what the teacher is to write for one scan.

    Args:
        stage: 1: pairs on the diagnosis alone; 2: on regions and vessels too.
        count: The exact number of pairs.
        explained: Stage 1 explains the key features, or answers with one word.
    """
    if stage == 1:
        style = (
            "The answer names the stage and explains the key features that lead to it."
            if explained
            else "The answer is one word: healthy, NPDR or PDR."
        )
        return f'Write exactly {count} question-answer pair(s) on the diagnosis, of kind "diagnosis". {style}'
    kinds = ", ".join(f"{kind} (about {max(1, round(n * count / 30))})" for kind, n in PLAN.items())
    return (
        f"Write exactly {count} question-answer pairs, no two questions alike. Kinds and how many of each: "
        f'{kinds}. "presence" asks whether an abnormality is in a quadrant; half of the answers are no. '
        f'"grounding" asks to mark something, and its answer names the findings to mark. Set "quadrant" to '
        f"one of {', '.join(QUADRANTS)} where a question is about one quadrant, else to null."
    )
