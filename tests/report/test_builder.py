"""The report is one self-contained page that is complete and safe from injected markup."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from agd_bench.records import parse_sweep
from agd_bench.report import build_report, first_screen
from agd_bench.store import Results
from agd_bench.tables import aggregates
from tests.analysis.synthetic import simulate_results, simulate_trials, spoil

ATTACK = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'


class Page(HTMLParser):
    """A parser that collects tags with their attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self.current = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a tag."""
        self.tags.append((tag, dict(attrs)))
        if tag in self.inside:
            self.current = tag
            self.inside[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        """Record the end of a script or style."""
        self.current = ""

    def handle_data(self, data: str) -> None:
        """Record the text of a script or style."""
        if self.current:
            self.inside[self.current][-1] += data


@pytest.fixture(scope="module")
def results(few_resamples: None) -> Results:
    """Return results on two data sets, with a tuned algorithm and several kinds of outcomes."""
    parts = [
        simulate_trials(9, 3, ("sgd", "agd", "adamw"), tuned=("adamw",), dataset=name, seed=i) for i, name in enumerate(("digits", "mnist"))
    ]
    trials = pd.concat(parts, ignore_index=True).assign(position=lambda rows: range(len(rows)))
    trials = spoil(trials, "agd", "diverged", [0])
    trials = spoil(trials, "agd", "refused", [5], reason=ATTACK)
    return simulate_results(spoil(trials, "sgd", "pending", [26]))


@pytest.fixture(scope="module")
def tables(results: Results) -> dict[str, pd.DataFrame]:
    """Compute all tables of these results once."""
    return aggregates(results)


@pytest.fixture(scope="module")
def folder(results: Results, tables: dict[str, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the report once and return its folder."""
    return build_report(results, tmp_path_factory.mktemp("report"), tables).parent


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    """Return the report's page."""
    return (folder / "index.html").read_text(encoding="utf-8")


def test_nothing_is_asked_of_another_host(page: str) -> None:
    """No tag loads anything, and every link stays inside the folder."""
    for tag, attributes in Page(page).tags:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base", "form")
        assert "src" not in attributes
        for name in ("href", "xlink:href"):
            target = attributes.get(name) or "#"
            assert target.startswith(("#", "data/", "figures/", "sweep.json"))


def test_the_policy_admits_the_inline_style_and_script_alone(page: str) -> None:
    """The policy contains the hashes of the page's only style and script; there are no style attributes or event handlers."""
    parsed = Page(page)
    policy = next(attributes["content"] for tag, attributes in parsed.tags if attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    for name, texts in parsed.inside.items():
        assert len(texts) == 1
        digest = base64.b64encode(hashlib.sha256(texts[0].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert not any(name == "style" or name.startswith("on") for _, attributes in parsed.tags for name in attributes)


def test_markup_in_the_results_stays_text(page: str) -> None:
    """HTML in a reason is escaped."""
    assert ATTACK not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page


def test_links_lead_to_files_and_anchors_exist(page: str, folder: Path) -> None:
    """Every link of the page has a target, and every id is unique."""
    tags = Page(page).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in tags:
        target = attributes.get("href") or attributes.get("xlink:href") or ""
        if target.startswith("#"):
            assert target[1:] in ids, (tag, target)
        elif target:
            assert (folder / target).is_file()


def test_order_of_the_page(page: str) -> None:
    """Headline, budget, standings and figure of each comparison come first; the rest follows, folded."""
    marks = [
        'class="headline"', 'class="caveat"', 'id="g1-standings"', "g1-cost", 'class="finding"', "Do the ranks shift?",
        'id="failures"', 'id="run"', 'id="again"',
    ]  # fmt: skip
    places = [page.index(mark) for mark in marks]
    assert places == sorted(places)
    opened = re.findall(r"<details[^>]* open", page)
    assert not opened, "everything but the first screen is folded"


def test_tables_are_accessible(page: str) -> None:
    """Each table has a caption, sortable column headings with a scope, and a row heading in every row."""
    tables = re.findall(r"<table\b.*?</table>", page, flags=re.DOTALL)
    assert len(tables) == 2 * 9 + 1
    for table in tables:
        assert "<caption>" in table
        headings = re.findall(r'<th scope="col" aria-sort="none"[^>]*><button type="button"', table)
        assert len(headings) == table.count('scope="col"')
        assert table.count('<th scope="row"') == len(re.findall(r"<tr\b", table)) - 1


def test_every_figure_links_its_files_and_its_data(page: str, folder: Path) -> None:
    """Each figure's caption links to its SVG, its PNG and the tables that it was drawn from."""
    for figure in re.findall(r"<figcaption>.*?</figcaption>", page, flags=re.DOTALL):
        links = re.findall(r'href="([^"]+)"', figure)
        assert [Path(link).suffix for link in links[:2]] == [".svg", ".png"]
        tables = [link for link in links if link.endswith(".csv")]
        assert tables
        assert all(len(pd.read_csv(folder / link)) for link in tables)


def test_what_the_data_does_not_allow_is_said(tmp_path: Path) -> None:
    """Without a tuned algorithm there is no crossover, and the page says why; tables without rows are left out."""
    text = build_report(simulate_results(simulate_trials(6, 2)), tmp_path).read_text(encoding="utf-8")
    assert "there is no crossover to show" in text
    assert "Rank bias of cheaper tuning scopes" not in text
    assert "Claims, and whether they hold" not in text


def test_tuning_is_weighed_against_tuning_free(page: str) -> None:
    """With a tuned algorithm, the page shows the crossover and a table of the three cost views."""
    assert "When tuning pays" in page
    assert "Tuning adamw" in page or "adamw is ahead of" in page
    assert "Accuracy at equal runs, at equal total compute" in page


def test_tables_at_hand_are_not_computed_again(
    results: Results, tables: dict[str, pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page and the first screen use tables that are passed in, with the same result."""
    expected = written(results)
    monkeypatch.setattr("agd_bench.report.builder.aggregates", lambda results: pytest.fail("computed again"))
    monkeypatch.setattr("agd_bench.report.sections.PARTS", ())  # this test does not need figures
    build_report(results, tmp_path, tables)
    assert written(results, tables) == expected


def test_figures_have_names(page: str) -> None:
    """Each figure is an image with a title and a description."""
    figures = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(figures) == 2 * (2 + 7)
    for svg in figures:
        assert 'role="img"' in svg
        assert "<title " in svg
        assert "<desc " in svg


def test_a_partial_run_says_so(page: str, results: Results, tables: dict[str, pd.DataFrame]) -> None:
    """The page says how many trials have ended, and the terminal output says that the results are partial."""
    ended = len(results.trials) - 1
    assert f"{ended} of {len(results.trials)} planned trials have ended" in page
    assert any("Partial results: " in line for line in written(results, tables))


def test_the_first_screen_names_its_groups(results: Results, tables: dict[str, pd.DataFrame]) -> None:
    """With two data sets, each is named before its headline; the tables list every algorithm, the best first."""
    shown = list(first_screen(results, tables))
    frames = [part for part in shown if isinstance(part, pd.DataFrame)]
    assert [part for part in shown if isinstance(part, str) and part.startswith("\n")] == [
        "\ncells on digits, matrix-only networks",
        "\ncells on mnist, matrix-only networks",
    ]
    for frame in frames:
        assert sorted(frame["Algorithm"]) == ["adamw", "agd", "sgd"]
        assert frame["Accuracy, %"].astype(float).is_monotonic_decreasing


def written(results: Results, tables: dict[str, pd.DataFrame] | None = None) -> list[str]:
    """Return the first screen as a list of texts."""
    return [part if isinstance(part, str) else part.to_csv() for part in first_screen(results, tables)]


def test_data_stands_beside_the_page(results: Results, tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """The folder has every aggregate as CSV, every figure as SVG and PNG, and a sweep file that can be parsed."""
    for name, table in tables.items():
        assert len(pd.read_csv(folder / "data" / f"{name}.csv")) == len(table)
    names = {path.stem for path in (folder / "figures").glob("*.svg")}
    assert names == {path.stem for path in (folder / "figures").glob("*.png")}
    assert len(names) == 18
    assert parse_sweep((folder / "sweep.json").read_text(), "sweep.json") == results.sweep


def test_equal_results_give_equal_pages(results: Results, folder: Path, tmp_path: Path) -> None:
    """Building a report again gives identical files."""
    again = build_report(results, tmp_path).parent
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            assert (again / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_thousands_of_architectures_are_capped(tmp_path: Path) -> None:
    """The page shows the first 200 architectures, says so, and stays small."""
    built = build_report(simulate_results(simulate_trials(1500, 1)), tmp_path)
    text = built.read_text(encoding="utf-8")
    assert "200 of 1500 rows are shown here" in text
    assert len(text) < 600_000


@pytest.mark.parametrize("status", ["diverged", "pending", "failed"])
def test_nothing_that_ended_well_still_gives_a_page(status: str, tmp_path: Path) -> None:
    """A page can be built even if the only trial was unsuccessful."""
    results = simulate_results(spoil(simulate_trials(1, 1, ("agd",)), "agd", status, [0]))
    text = build_report(results, tmp_path).read_text(encoding="utf-8")
    assert "nothing can be compared" in text or "no other algorithm to compare" in text
    assert not re.search(r">nan<|\bnan %", text)


def test_reading_and_reporting_need_no_heavy_library() -> None:
    """The report, the leaderboard and the analysis do not import torch, Ray or Optuna."""
    code = (
        "import sys, agd_bench.analysis, agd_bench.figures, agd_bench.report, agd_bench.leaderboard\n"
        "print([name for name in ('torch', 'ray', 'optuna') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.strip() == "[]"
