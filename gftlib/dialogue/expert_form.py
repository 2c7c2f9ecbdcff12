"""The form that experts fill in: one HTML file that needs no network, opened from disk (GFT, section 3).

Everything shown is escaped, images are data URLs, and a content security policy lets nothing be loaded or
sent and no script run but the one written here, which is named by its hash. Every control is a native one
with a label, so that the form works by keyboard and screen reader. The script checks that all is filled in
and that ranks differ, keeps a draft in the browser where it may, and offers the answers as a JSON file.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence

from gftlib.boxes import QUADRANTS
from gftlib.dialogue.rubric import CRITERIA, RUBRIC
from gftlib.octa.places import QUADRANT_WORDS

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:1rem auto;padding:0 1rem}
body{color:#111;background:#fff}
img{width:20rem;max-width:100%;image-rendering:auto}
fieldset{margin:1rem 0;border:1px solid #767676;border-radius:4px}
fieldset fieldset{border:0;margin:0;padding:0}
legend{font-weight:600}
blockquote{margin:.5rem 0;padding:.25rem .75rem;border-left:4px solid #555;white-space:pre-wrap}
.row{display:flex;flex-wrap:wrap;gap:1rem;margin:.5rem 0}
input[type=number]{width:5rem}
:focus-visible{outline:3px solid #0b57d0}
button{font:inherit;padding:.5rem 1rem}
"""

SCRIPT = """
"use strict";
const form = document.getElementById("study");
const note = document.getElementById("note");
const name = "gftlib-" + form.dataset.study + "-" + form.dataset.rater;
const ranks = group => [...group.querySelectorAll("select")];
function check() {
  for (const group of document.querySelectorAll("section")) {
    const taken = ranks(group).map(one => one.value);
    ranks(group).forEach((one, at) => one.setCustomValidity(
      one.value && taken.indexOf(one.value) !== at ? "This rank is given twice for this scan." : ""));
  }
}
function collect() {
  return [...document.querySelectorAll("[data-code]")].map(card => {
    const value = field => card.querySelector("[name$='-" + field + "']").value;
    const number = field => value(field) === "" ? null : Number(value(field));
    return {code: card.dataset.code, rank: number("rank"), accuracy: number("accuracy"),
      localisation: number("localisation"), helpfulness: number("helpfulness"),
      regions: [...card.querySelectorAll("input:checked")].map(one => one.value)};
  });
}
function keep() {
  try { localStorage.setItem(name, JSON.stringify(collect())); } catch (error) { note.textContent =
    "This browser keeps no draft: do not close the page before you have downloaded your answers."; }
}
function restore() {
  let kept = null;
  try { kept = JSON.parse(localStorage.getItem(name)); } catch (error) { return; }
  for (const one of kept || []) {
    const card = document.querySelector("[data-code='" + one.code + "']");
    if (!card) continue;
    for (const field of ["rank", "accuracy", "localisation", "helpfulness"])
      card.querySelector("[name$='-" + field + "']").value = one[field] === null ? "" : one[field];
    card.querySelectorAll("input[type=checkbox]").forEach(box => {
      box.checked = one.regions.includes(box.value); });
  }
}
form.addEventListener("input", () => { check(); keep(); });
form.addEventListener("submit", event => {
  event.preventDefault();
  const content = {version: "1", study: form.dataset.study, rater: form.dataset.rater, answers: collect()};
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], {type: "application/json"}));
  link.download = "answers-" + form.dataset.rater + ".json";
  document.body.append(link);
  link.click();
  link.remove();
  note.textContent = "Your answers were saved as " + link.download + ".";
});
form.addEventListener("invalid", () => {
  note.textContent = "Something is missing or given twice: see the first marked field."; }, true);
restore();
check();
"""


def form(
    samples: Sequence[tuple[int, str, Sequence[tuple[str, str]]]],
    images: Mapping[int, str],
    study: str,
    rater: str,
    step: int,
) -> str:
    """Return the form of one rater as an HTML page.

    Args:
        samples: (number, question, [(code, answer), ...]) in the order in which they are shown.
        images: Number -> image as a data URL.
        study: Identifier of the study.
        rater: Name of the rater.
        step: Points between two neighbouring scores.
    """
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(STYLE)}'; script-src '{_hash(SCRIPT)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    sections = "".join(
        _section(place, sample, images[sample[0]], step) for place, sample in enumerate(samples, start=1)
    )
    rules = "".join(f"<li><b>{name}</b>: {html.escape(RUBRIC[name])}</li>" for name in CRITERIA)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width"><title>Expert study</title>'
        f"<style>{STYLE}</style></head><body><main><h1>Answers about OCTA scans</h1>"
        f"<p>You see {len(samples)} scans, each with a question and several answers. Rank the answers to "
        f"each scan (1 is best, no rank twice), score each from 0 to 100 in steps of {step}, and mark the "
        "quadrants where the answer names an abnormality that is indeed there. Quadrants are those of the "
        f"image.</p><ul>{rules}</ul><p>Nothing leaves your computer. Save your answers at the end and send "
        "the file back.</p>"
        f'<form id="study" data-study="{html.escape(study)}" data-rater="{html.escape(rater)}">'
        f'{sections}<p><button type="submit">Save my answers</button></p>'
        '<p id="note" role="status" aria-live="polite"></p></form></main>'
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def _section(place: int, sample: tuple[int, str, Sequence[tuple[str, str]]], image: str, step: int) -> str:
    number, question, answers = sample
    cards = "".join(_card(code, text, len(answers), step) for code, text in answers)
    return (
        f'<section aria-labelledby="s{number}"><h2 id="s{number}">Scan {place}</h2>'
        f'<img src="{html.escape(image)}" alt="OCTA image of scan {place}">'
        f"<p><b>Question</b>: {html.escape(question)}</p>{cards}</section>"
    )


def _card(code: str, text: str, count: int, step: int) -> str:
    code = html.escape(code)
    options = "".join(f"<option>{rank}</option>" for rank in range(1, count + 1))
    scores = "".join(
        f'<label for="{code}-{name}">{name.capitalize()}</label><input type="number" id="{code}-{name}" '
        f'name="{code}-{name}" min="0" max="100" step="{step}" required>'
        for name in CRITERIA
    )
    regions = "".join(
        f'<span><input type="checkbox" id="{code}-{q}" name="{code}-region" value="{q}">'
        f'<label for="{code}-{q}">{QUADRANT_WORDS[q]}</label></span>'
        for q in QUADRANTS
    )
    return (
        f'<fieldset data-code="{code}"><legend>Answer {code}</legend>'
        f"<blockquote>{html.escape(text)}</blockquote>"
        f'<div class="row"><label for="{code}-rank">Rank</label><select id="{code}-rank" name="{code}-rank" '
        f'required><option value=""></option>{options}</select>{scores}</div>'
        f'<fieldset class="row"><legend>Rightly named quadrants</legend>{regions}</fieldset></fieldset>'
    )


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
