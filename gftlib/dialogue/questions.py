"""Questions and phrases of the dialogues, several wordings of each (GFT, section 2.4 and Fig. 2).

Stage 1 asks for the diagnosis; stage 2 for quadrants, the FAZ, vessels, perfusion, comparisons, whether
something is somewhere, and for places to be marked by a box.
"""

from __future__ import annotations

from gftlib.octa.signs import FindingKind

PLAN = {
    "diagnosis": 2,
    "quadrant": 4,
    "FAZ": 3,
    "vessels": 3,
    "perfusion": 4,
    "comparison": 4,
    "presence": 6,
    "grounding": 4,
}
"""Stage 2: how many of a scan's 30 questions are of which kind."""

STAGE_WORDS = {
    "healthy": "healthy",
    "NPDR": "non-proliferative diabetic retinopathy (NPDR)",
    "PDR": "proliferative diabetic retinopathy (PDR)",
}

NAMES: dict[FindingKind, str] = {
    "non-perfusion": "capillary non-perfusion",
    "FAZ enlargement": "enlargement of the FAZ",
    "dilated vessels": "focal vessel dilation",
    "tortuous vessels": "vessel tortuosity",
    "dense tangle": "a dense tangle of vessels",
}
"""What each kind of finding is called in questions and in the names of boxes."""

SEEN: dict[FindingKind, tuple[str, ...]] = {
    "non-perfusion": (
        "capillary non-perfusion",
        "an area of capillary drop-out",
        "a patch without capillary flow",
    ),
    "FAZ enlargement": (
        "an enlarged foveal avascular zone",
        "widening of the foveal avascular zone",
        "an FAZ that is larger than usual",
    ),
    "dilated vessels": (
        "focal vessel dilation",
        "an uneven, dilated vessel calibre",
        "local widening of a vessel",
    ),
    "tortuous vessels": (
        "vessel tortuosity",
        "abnormal winding of the larger vessels",
        "a winding course of the larger vessels",
    ),
    "dense tangle": (
        "a dense tangle of vessels",
        "a knot of crowded, turning vessels",
        "a cluster of closely packed, irregular vessels",
    ),
}
"""How each kind of finding is called in answers."""

ONE_WORD = (
    "Which stage does this OCTA scan show: healthy, NPDR or PDR? Answer with one word.",
    "Classify this OCTA image as healthy, NPDR or PDR. One word only.",
    "Name the stage of diabetic retinopathy in one word: healthy, NPDR or PDR.",
)

QUESTIONS: dict[str, tuple[str, ...]] = {
    "stage": (
        "What is the diagnosis for this OCTA scan, and what supports it?",
        "Which stage of diabetic retinopathy does this scan show? Explain the key features.",
        "How would you stage this retina, and which vascular features lead you there?",
        "Please give your diagnosis of this OCTA image with the reasons for it.",
    ),
    "retinopathy": (
        "Does this scan show diabetic retinopathy?",
        "Is there any diabetic retinopathy in this eye?",
        "Are there signs of diabetic retinopathy in this image?",
    ),
    "describe": (
        "What do you see in the {place}?",
        "Describe the {place} of this scan.",
        "What does the vasculature look like in the {place}?",
        "Are there abnormalities in the {place}?",
    ),
    "faz_size": (
        "Is the foveal avascular zone enlarged?",
        "How large is the FAZ compared with a healthy eye?",
        "What can you say about the size of the foveal avascular zone?",
    ),
    "faz_shape": (
        "What is the shape of the FAZ?",
        "Is the outline of the foveal avascular zone regular?",
        "Describe the contour of the FAZ.",
    ),
    "faz_place": (
        "Which quadrants does the FAZ reach into?",
        "Into which quadrants does the foveal avascular zone extend?",
    ),
    "tortuous vessels": (
        "Are the larger vessels tortuous anywhere?",
        "Where, if anywhere, do the vessels wind more than usual?",
        "Is there vessel tortuosity in this scan?",
    ),
    "dilated vessels": (
        "Are any vessels focally dilated?",
        "Do you see vessels of uneven calibre, and where?",
        "Is there focal vessel dilation in this scan?",
    ),
    "dense tangle": (
        "Is there a dense tangle of vessels?",
        "Do you see crowded, irregular vessels anywhere?",
        "Are there knots of closely packed vessels, and where?",
    ),
    "non-perfusion": (
        "Is there capillary non-perfusion, and where?",
        "Which quadrants show capillary drop-out?",
        "Are there areas without capillary flow?",
    ),
    "perfusion": (
        "How well perfused is the {place}?",
        "What is the vessel density like in the {place}?",
        "Is the vascular network of the {place} as dense as usual?",
    ),
    "even": (
        "Is the perfusion even across the four quadrants?",
        "Does vessel density differ between the quadrants?",
    ),
    "ring": (
        "Does non-perfusion lie close to the FAZ or farther out?",
        "How far from the FAZ is the main area of non-perfusion?",
    ),
    "densest": (
        "Which quadrant has the densest vessel network?",
        "In which quadrant are the vessels most dense?",
    ),
    "sparsest": (
        "Which quadrant has the sparsest vessel network?",
        "In which quadrant is the vessel network thinnest?",
    ),
    "versus": (
        "Which is denser in vessels, the {place} or the {other}?",
        "Compare the vessel density of the {place} with that of the {other}.",
    ),
    "halves": (
        "Which half has more vessels, the {place} or the {other}?",
        "Compare the vessel density of the {place} with the {other}.",
    ),
    "present": (
        "Is there {thing} in the {place}?",
        "Do you see {thing} in the {place}?",
        "Does the {place} show {thing}?",
    ),
    "mark": (
        "Where is {thing}? Mark it with a box.",
        "Show me {thing} with a bounding box.",
        "Draw a box around {thing}, if there is any.",
    ),
}
"""Wordings by what is asked."""

YES = ("Yes, {rest}.", "Yes: {rest}.", "There is: {rest}.")
NO = (
    "No, there is no {thing} in the {place}.",
    "No. The {place} shows no {thing}.",
    "No {thing} can be seen in the {place}.",
)
