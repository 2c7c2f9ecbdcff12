"""Words for abnormalities in free text: where one is spoken of, and whether it is stated or denied there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gftlib.octa.signs import FindingKind
from gftlib.vlm.negation import Status, Term, statuses

_FAZ = r"(?:faz|foveal avascular zone)"
_USUAL = r"(?:\s+than\s+(?:usual|normal|expected|average))?"
TERMS: dict[FindingKind, str] = {
    "non-perfusion": r"(?:capillary )?(?:non[- ]?perfus\w+|drop-? ?outs?\b|isch(?:a)?emi[ac]\b)"
    r"|(?:without|lack of|absence of) (?:capillary )?(?:flow|perfusion)"
    r"|(?:capillary|perfusion|flow) (?:loss|deficits?|voids?|defects?|closure)"
    r"|loss of (?:capillar\w+|perfusion|flow)|avascular (?:areas?|patch(?:es)?|regions?)",
    "FAZ enlargement": rf"(?:enlargement|widening|expansion) of the {_FAZ}"
    rf"|(?:enlarged|larger?|widened|wider?|expanded|increased) {_FAZ}"
    rf"|{_FAZ} (?:enlargement|widening|expansion)"
    rf"|{_FAZ}(?: (?:size|area))? (?:that |which )?(?:is|was|looks|appears|seems)\s+(?:[\w-]+\s+){{0,3}}?"
    rf"(?P<core>enlarged|larger|widened|wider|expanded|increased)\b{_USUAL}"
    rf"|(?P<usual>{_FAZ} (?:is|looks|appears|seems) (?:of )?(?:normal|usual)(?: in|-)? ?sized?\b"
    rf"|{_FAZ} size (?:is|looks|appears|seems) (?:as usual|(?:within )?normal))",
    "dilated vessels": r"(?:uneven,? )?(?:focal(?:ly)? )?(?:vessel |venous |capillary )?dilat(?:ed|ions?)\b"
    r"(?: vessels?\b)?(?: calib(?:re|er))?"
    r"|(?:uneven|irregular) (?:vessel )?calib(?:re|er)|local widening of (?:a|the) vessels?"
    r"|micro-?aneurysms?|(?:venous )?beading|irmas?\b|intraretinal microvascular abnormalit\w+",
    "tortuous vessels": r"(?:vessel |venous )?tortuo\w+|(?:abnormal(?:ly)? )?winding\b(?: course)?"
    rf"(?: of the larger vessels)?|winds? more{_USUAL}",
    "dense tangle": r"(?:dense )?tangle[sd]?\b(?: of vessels)?"
    r"|knots? of (?:crowded|vessels)(?:, turning vessels)?"
    r"|clusters? of (?:closely packed|crowded)(?:, irregular vessels)?"
    r"|neo-?vascular\w*(?: tufts?)?|new vessels|(?:vascular )?tufts?\b",
}
"""How each kind of finding may be called."""
_KINDS = {f"k{i}": kind for i, kind in enumerate(TERMS)}
_TERM = re.compile("|".join(rf"(?P<{name}>\b(?:{TERMS[kind]}))" for name, kind in _KINDS.items()))


@dataclass(frozen=True)
class Mention:
    """An abnormality that a text speaks of.

    Attributes:
        kind: Which.
        start: Where its words begin.
        end: Where they end.
        verdict: What the text makes of it.
    """

    kind: FindingKind
    start: int
    end: int
    verdict: Status


def mentions(low: str) -> list[Mention]:
    """Return the abnormalities that a text, made `gftlib.vlm.negation.plain`, speaks of."""
    matches = list(_TERM.finditer(low))
    # "The FAZ is not enlarged": what is denied begins behind the word that denies it.
    cores = [Term(m.start("core") if m["core"] else m.start(), m.end()) for m in matches]
    found = []
    for match, verdict in zip(matches, statuses(low, cores), strict=True):
        if match["usual"] and verdict == "stated":
            verdict = "denied"
        found.append(Mention(_KINDS[str(match.lastgroup)], match.start(), match.end(), verdict))
    return found
