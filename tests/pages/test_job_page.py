"""The page of a run and of a failed run, read as a browser would."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from job.pages.failed_page import failed_page
from job.pages.job_page import job_page
from job.result.result import Result
from tests.pages import results
from tests.pages.reading import Page, unlike

RESULTS: dict[str, Callable[[], Result]] = {
    "quickstart": results.quickstart,
    "earlier": results.earlier,
    "gate missed": results.gate_missed,
    "hostile": results.hostile,
    "searched": results.searched,
    "only baseline": results.only_baseline,
    "unlabelled": results.unlabelled,
    "bare": results.bare,
    "many files": results.many_files,
}
KILOBYTE = 1000


@pytest.fixture(scope="module", params=list(RESULTS))
def made(request: pytest.FixtureRequest) -> tuple[Result, str]:
    """A result and its page."""
    result = RESULTS[request.param]()
    return result, job_page(result)


def test_each_number_and_text_is_in_the_result(made: tuple[Result, str]) -> None:
    """At the place that the page says, as it is shown there."""
    result, html = made
    page = Page(html)
    assert len(page.data) > 20
    assert unlike(page, result.model_dump(mode="json")) == []


def test_the_page_has_no_numbers_of_its_own(made: tuple[Result, str]) -> None:
    """All others are names or sentences of the result; charts and their texts repeat the page's."""
    _, html = made
    page = Page(html)
    assert [it for it in page.own if re.search(r"\d", it)] == []
    numbers = {text for _, _, text in page.data}
    assert [it for it in page.values if it not in numbers] == []


def test_a_page_requests_nothing_and_runs_nothing(made: tuple[Result, str]) -> None:
    """No script, no handler, no address but places on the page and data."""
    _, html = made
    page = Page(html)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed", "form", "base"}
    assert [it for _, found in page.tags for it in found if it.startswith("on")] == []
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    for address in page.attributes("href") + page.attributes("xlink:href"):
        assert address.startswith("#")
        assert address[1:] in ids
    assert all(it.startswith("data:image/png;base64,") for it in page.attributes("src"))
    styles = "".join(page.attributes("style")) + html[html.index("<style") : html.index("</style")]
    assert set(re.findall(r"url\((.)", styles)) <= {"#"}
    policy = next(found["content"] for _, found in page.tags if "http-equiv" in found)
    assert policy.startswith("default-src 'none'")


def test_the_page_is_for_all(made: tuple[Result, str]) -> None:
    """A language, one h1, landmarks, headers with a scope, pictures with a text."""
    _, html = made
    page = Page(html)
    tags = [tag for tag, _ in page.tags]
    assert page.tags[0] == ("html", {"lang": "en"})
    assert [tags.count(it) for it in ("h1", "header", "main", "nav", "footer")] == [1] * 5
    assert all("scope" in found for tag, found in page.tags if tag == "th")
    assert all(found["alt"] for tag, found in page.tags if tag == "img")
    assert all("aria-hidden" in it or "role" in it for tag, it in page.tags if tag == "svg")
    assert all("tabindex" in found for tag, found in page.tags if tag == "pre")
    labels = " ".join(page.attributes("aria-labelledby")).split()
    assert set(labels) <= set(page.attributes("id"))


def test_the_same_result_gives_the_same_page(made: tuple[Result, str]) -> None:
    """Byte for byte, whatever was drawn in between."""
    result, html = made
    assert job_page(Result.model_validate_json(result.model_dump_json())) == html


def test_the_page_of_the_quickstart_has_all_parts() -> None:
    """In at most 400 KB."""
    html = job_page(results.quickstart())
    titles = re.findall(r"<figcaption>(.+)</figcaption>\n<svg class=.chart", html)
    titles = [re.sub("<.*?>", "", it) for it in titles]
    assert titles == [
        "Bytes by stage and encoding",
        "Accuracy by stage",
        "Agreement by stage",
        "Where it was lost: drift between stages",
        "Sparsity schedule",
        "Fine-tuning",
    ]
    for wanted in ("13.9", "AMD EPYC", "paredown run manifest.json", "Zeros after", "pixel"):
        assert wanted in html
    assert len(html.encode()) < 400 * KILOBYTE


def test_int8_and_zeros_are_said_not_to_be_faster() -> None:
    """With the figures of the result."""
    said = " ".join(Page(job_page(results.quickstart())).text)
    assert "do not make this model faster on this CPU" in " ".join(said.split())
    assert "Sparsity does not make a model faster" in said


def test_a_search_has_a_front() -> None:
    """With the gate and the choice."""
    html = job_page(results.searched())
    chart = html[html.index("<figcaption>The search") :]
    assert ">gate<" in chart
    assert ">chosen<" in chart


def test_an_earlier_result_lacks_parts_and_no_more() -> None:
    """The page says so where a reader would miss them."""
    html = job_page(results.earlier())
    assert "or the result is of an earlier version" in html
    assert "Bytes by stage and encoding" in html


def test_without_labels_the_headline_is_the_agreement() -> None:
    """With its interval; the baseline has none."""
    text = " ".join(" ".join(Page(job_page(results.unlabelled())).text).split())
    assert "96.65 % agreement with the baseline 95 % interval 95.77 % to" in text


def test_of_many_files_the_smallest_encodings_are_drawn() -> None:
    """And that is said."""
    html = job_page(results.many_files())
    assert "The plain file, and its smallest lossless encoding" in html


def test_a_missed_gate_is_said_first() -> None:
    """Before any figure."""
    html = job_page(results.gate_missed())
    text = " ".join("".join(Page(html).text).split())
    why = text.index("Why the gates were missed")
    assert why < text.index("only 13.89 times smaller") < text.index("98,968")
    assert "so none was chosen" in text


def test_a_failure_is_said_first() -> None:
    """What happened, where, what to do, the exit code; then how far it came."""
    failure = results.failure()
    page = Page(failed_page(failure))
    text = " ".join(page.text)
    wanted = ["the loss is not finite", "layer dense", "lower training", "Exit code", "How far"]
    places = [text.index(it) for it in wanted]
    assert places == sorted(places)
    assert unlike(page, failure.model_dump(mode="json")) == []
    assert [it for it in page.own if re.search(r"\d", it)] == []
    assert '"epochs": 6' in text


def test_a_failure_that_knows_little_has_a_page() -> None:
    """As one of an earlier version, or from before anything was read."""
    few = {"manifest": {}, "versions": {}, "environment": {}, "stages": [], "stage": ""}
    html = failed_page(results.failure(**few, where="", to_do="", warnings=[]))
    assert "No stage had ended" in html


def test_hostile_names_are_harmless_and_legible() -> None:
    """Escaped, with control characters made visible, the long ones complete."""
    hostile = results.HOSTILE
    for html in (
        job_page(results.hostile()),
        failed_page(results.failure(name=hostile[0], what=hostile[5], where=hostile[2])),
    ):
        assert "<script" not in html
        assert "<img src=x" not in html
        assert "\u202e" not in "".join(Page(html).text)
        assert results.SCRIPT in "".join(Page(html).text)
    text = "".join(Page(job_page(results.hostile())).text)
    assert all(it in text for it in hostile if it.isprintable())


def test_a_model_of_many_layers_has_a_small_page() -> None:
    """Of 300 layers: at most 1.5 MB."""
    html = job_page(results.of_layers(300))
    assert html.count('class="histogram"') == 300
    assert len(html.encode()) < 1500 * KILOBYTE
