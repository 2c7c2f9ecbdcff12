from __future__ import annotations

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sklearn.metrics import cohen_kappa_score

from gftlib.dialogue.expert_answers import ExpertAnswers, read_answers, score_study, unblind
from gftlib.dialogue.expert_study import Sample, Sheet, blind, presented, read_key, read_sheet, write_study
from gftlib.dialogue.rubric import CRITERIA
from gftlib.errors import InputError, MissingError

MODELS = ("BS-GPT-4o", "BS-Llama", "FT-GPT-4o", "FT-Llama", "GFT-GPT-4o", "GFT-Llama")
HOSTILE = '</blockquote><script>alert("x")</script><img src=x onerror=alert(1)>&amp;'


def samples(folder: Path, count: int = 8, models: tuple[str, ...] = MODELS) -> list[Sample]:
    about = PngInfo()
    about.add_text("Patient", "Jane Doe")
    made = []
    for i in range(count):
        path = folder / f"patient-{i}.png"
        Image.fromarray(np.full((8, 8), 10 * i, np.uint8)).save(path, pnginfo=about)
        answers = {model: f"I am {model}; answer {i}. {HOSTILE}" for model in models}
        made.append(Sample(f"patient-{i}", path, f"What is it, {i} <b>?", answers))
    return made


def filled(sheet: Sheet, rater: str, accuracy: int = 50, regions: tuple[str, ...] = ()) -> dict:
    answers = [
        {
            "code": answer.code,
            "rank": rank,
            "accuracy": accuracy,
            "localisation": 40,
            "helpfulness": 60,
            "regions": list(regions),
        }
        for sample in sheet.samples
        for rank, answer in enumerate(sample.answers, start=1)
    ]
    return {"version": "1", "study": sheet.study, "rater": rater, "answers": answers}


def saved(folder: Path, content: object) -> Path:
    path = folder / "answers.json"
    path.write_text(json.dumps(content))
    return path


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def test_48_answers_are_blinded_and_the_key_alone_tells_them(tmp_path: Path) -> None:
    sheet, key, _ = made = blind(samples(tmp_path), 0)
    write_study(made, tmp_path / "study", ("1", "2"))
    codes = [answer.code for sample in sheet.samples for answer in sample.answers]
    assert sorted(codes) == sorted(key.codes) == [f"A{i:02d}" for i in range(1, 49)]
    assert {(e.scan, e.model) for e in key.codes.values()} == {
        (f"patient-{i}", model) for i in range(8) for model in MODELS
    }
    seen = "".join(path.read_text() for path in (tmp_path / "study" / "sheets").iterdir())
    for word in (*MODELS, "GPT", "Llama", "patient-", "Jane Doe"):
        assert word not in seen
    assert "GFT-Llama" in (tmp_path / "study" / "key.json").read_text()
    assert read_sheet(tmp_path / "study" / "sheets" / "sheet.json") == sheet
    assert read_key(tmp_path / "study" / "key.json") == key
    # what a code stands for is what was answered
    texts = {answer.code: answer.text for sample in sheet.samples for answer in sample.answers}
    assert all(f"answer {key.codes[code].scan[-1]}." in text for code, text in texts.items())


def test_the_same_seed_gives_the_same_study_and_each_rater_an_own_order(tmp_path: Path) -> None:
    made = samples(tmp_path)
    sheet, key, images = blind(made, 0)
    assert blind(made, 0) == (sheet, key, images)
    other = blind(made, 1)
    assert other.key.codes != key.codes
    one, two = presented(sheet, "1"), presented(sheet, "2")
    assert one != two
    assert presented(sheet, "1") == one
    for shown in (one, two):
        assert sorted(sample.number for sample in shown.samples) == list(range(1, 9))
        for sample in shown.samples:
            assert set(sample.answers) == set(sheet.samples[sample.number - 1].answers)
    # codes say neither model nor place: no model has the same code in every study or a run of codes
    of_one = sorted(int(code[1:]) for code, entry in key.codes.items() if entry.model == MODELS[0])
    assert of_one != list(range(of_one[0], of_one[0] + 8))


def test_each_image_stands_with_its_own_answers(tmp_path: Path) -> None:
    sheet, key, images = blind(samples(tmp_path), 0)
    for sample in sheet.samples:
        image = Image.open(io.BytesIO(base64.b64decode(images[sample.number].split(",")[1])))
        scan = key.codes[sample.answers[0].code].scan
        assert image.getpixel((0, 0)) == 10 * int(scan[-1])
        assert not image.info


def test_the_form_is_self_contained_escaped_and_labelled(tmp_path: Path) -> None:
    write_study(blind(samples(tmp_path), 0), tmp_path / "study", ("1",))
    text = (tmp_path / "study" / "sheets" / "form-1.html").read_text()
    page = Page(text)
    assert len(page.all("script")) == 1
    assert "alert(&quot;x&quot;)" in text
    assert 'alert("x")' not in text
    assert len(page.all("img")) == 8
    assert all(
        image["src"].startswith("data:image/png;base64,") and image["alt"] for image in page.all("img")
    )
    assert not re.search(r"https?://|//\w+\.|\bon\w+=|@import|url\(", re.sub(r"onerror=alert\(1\)", "", text))
    assert not page.all("link") + page.all("iframe")
    controls = [c for tag in ("input", "select") for c in page.all(tag)]
    labels = {label["for"] for label in page.all("label")}
    assert len(controls) == 48 * (1 + len(CRITERIA) + 4)
    assert {control["id"] for control in controls} == labels
    assert page.all("html")[0]["lang"] == "en"
    policy = page.all("meta")[1]["content"]
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_the_key_of_another_study_is_never_overwritten(tmp_path: Path) -> None:
    write_study(blind(samples(tmp_path), 0), tmp_path / "study", ["1"])
    write_study(blind(samples(tmp_path), 0), tmp_path / "study", ["1", "2"])
    kept = (tmp_path / "study" / "key.json").read_bytes()
    with pytest.raises(InputError, match="holds the key of the study"):
        write_study(blind(samples(tmp_path, 3), 0), tmp_path / "study", ["1"])
    assert (tmp_path / "study" / "key.json").read_bytes() == kept


def test_only_full_and_right_answers_are_imported(tmp_path: Path) -> None:
    sheet, _, _ = blind(samples(tmp_path), 0)
    good = filled(sheet, "1")
    assert read_answers(saved(tmp_path, good), sheet).rater == "1"
    first = good["answers"][0]

    def changed(**values: object) -> dict:
        return good | {"answers": [first | values, *good["answers"][1:]]}

    for wrong, words in (
        (good | {"study": "x"}, "belongs to the study x"),
        (good | {"answers": good["answers"][1:]}, f"has no answer for {first['code']}"),
        (good | {"answers": [*good["answers"], first | {"code": "A99"}]}, "unknown A99"),
        (good | {"answers": [*good["answers"], first]}, f"answers twice for {first['code']}"),
        (changed(accuracy=105), "less than or equal to 100"),
        (changed(accuracy=52), "multiple of 5"),
        (changed(accuracy=None), "valid integer"),
        (changed(rank=2), "ranks of sample 1 are not 1 to 6"),
        (changed(regions=["XX"]), "regions"),
        ({"answers": []}, "Field required"),
    ):
        with pytest.raises(InputError, match=words):
            read_answers(saved(tmp_path, wrong), sheet)
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        read_answers(tmp_path / "bad.json", sheet)
    with pytest.raises(MissingError):
        read_answers(tmp_path / "none.json", sheet)
    with pytest.raises(InputError, match="is no key"):
        read_key(saved(tmp_path, good))


def test_places_count_only_where_both_agree(tmp_path: Path) -> None:
    sheet, key, _ = blind(samples(tmp_path, 2, ("a", "b")), 0)
    one, two = filled(sheet, "1"), filled(sheet, "2", accuracy=100)
    of_a = {code for code, entry in key.codes.items() if entry.model == "a"}
    for answers, marked in ((one, ["UL", "UR", "LL"]), (two, ["UR", "LR", "UL"])):
        for answer in answers["answers"]:
            if answer["code"] in of_a:
                answer["regions"] = marked
    # of b only one expert marks anything
    next(a for a in one["answers"] if a["code"] not in of_a)["regions"] = ["UL"]
    experts = [read_answers(saved(tmp_path, answers), sheet) for answers in (one, two)]
    found = score_study(key, experts, resamples=50)
    assert found.models["regions"].to_dict() == {"a": 4, "b": 0}
    assert found.models["answers"].to_dict() == {"a": 2, "b": 2}
    assert found.models.loc["a", "accuracy"] == 75
    assert found.models.loc["a", "experts"] == pytest.approx((75 + 40 + 60) / 3)
    assert found.models["rank"].sum() == pytest.approx(3)
    rows = unblind(key, experts)
    assert len(rows) == 8
    assert rows.loc[rows["model"] == "a", "regions"].iloc[0] == "UL UR LL"


def test_kappa_is_the_library_s_over_all_steps(tmp_path: Path) -> None:
    sheet, key, _ = blind(samples(tmp_path, 3), 0)
    rng = np.random.default_rng(0)
    told = []
    for rater in ("1", "2"):
        content = filled(sheet, rater)
        for answer in content["answers"]:
            answer.update({name: int(5 * rng.integers(0, 21)) for name in CRITERIA})
        told.append(content)
    experts = [ExpertAnswers.model_validate_json(json.dumps(content)) for content in told]
    found = score_study(key, experts, resamples=50)
    for name in CRITERIA:
        sides = [[a[name] for a in sorted(c["answers"], key=lambda a: a["code"])] for c in told]
        expected = cohen_kappa_score(*sides, labels=list(range(0, 101, 5)), weights="quadratic")
        assert found.kappa[name].value == pytest.approx(expected)
        assert found.kappa[name].low <= expected <= found.kappa[name].high
    assert found.kappa["all"].n == found.kappa["accuracy"].n
    assert score_study(key, experts[:1]).kappa == {}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s, f: blind([], 0), "at least one sample"),
        (lambda s, f: blind([s, Sample("x", s.image, "q", {"other": "a"})], 0), "has answers of"),
        (lambda s, f: blind([s, s], 0), "same scan and question"),
        (lambda s, f: write_study(blind([s], 0), f, ("../x",)), "must be of letters"),
        (lambda s, f: write_study(blind([s], 0), f, ("1", "1")), "a name of their own"),
        (lambda s, f: unblind(blind([s], 0).key, []), "at least one expert"),
    ],
)
def test_bad_input_says_what_is_wrong(tmp_path: Path, call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call(samples(tmp_path, 1)[0], tmp_path)


def test_a_rater_fills_in_the_form_by_keyboard(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        pytest.skip("no browser here")
    sheet, _, _ = made = blind(samples(tmp_path, 2, ("a", "b")), 0)
    write_study(made, tmp_path / "study", ("1",))
    form = (tmp_path / "study" / "sheets" / "form-1.html").resolve()
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page()
        requests, faults = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.goto(form.as_uri())
        page.keyboard.press("Tab")
        for rank in ("1", "1", "1", "2"):
            # rank, three scores, four quadrants, in this order
            page.keyboard.type(rank)
            for points in ("55", "60", "65"):
                page.keyboard.press("Tab")
                page.keyboard.type(points)
            page.keyboard.press("Tab")
            page.keyboard.press("Space")
            for _ in range(4):
                page.keyboard.press("Tab")
        # the rank 1 stands twice for the first scan
        page.keyboard.press("Enter")
        assert "given twice" in page.text_content("#note")
        page.locator("select").nth(1).select_option("2")
        # what was filled in outlives the page
        page.reload()
        page.locator("button").focus()
        with page.expect_download() as download:
            page.keyboard.press("Enter")
        download.value.save_as(tmp_path / "answers-1.json")
        browser.close()
    found = read_answers(tmp_path / "answers-1.json", sheet)
    assert all(
        (a.accuracy, a.localisation, a.helpfulness, a.regions) == (55, 60, 65, ("UL",)) for a in found.answers
    )
    assert not faults
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)
