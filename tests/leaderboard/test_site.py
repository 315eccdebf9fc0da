"""The pages of a site lead to each other, show every entry and architecture, and read without a script."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pandas as pd
import pytest

from agd_bench.leaderboard import build_site, publish_results, verify_folder
from agd_bench.leaderboard.architecture_pages import name_of
from tests.analysis.synthetic import simulate_results, simulate_trials
from tests.leaderboard.synthetic_board import simulate_board

LABELS = ("sgd", "agd", "prodigy")


class Page(HTMLParser):
    """The links, ids and attributes of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag == "a" else []

    def rows(self, **wanted: str) -> list[dict[str, str]]:
        """The attributes of the table rows that have these values."""
        return [found for tag, found in self.tags if tag == "tr" and all(found.get(f"data-{name}") == wanted[name] for name in wanted)]


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory, few_resamples: None) -> Path:
    """A folder with a board and an experiment."""
    folder = tmp_path_factory.mktemp("leaderboards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agd_bench.report.sections.PARTS", ())
        simulate_board(folder / "board", LABELS)
        publish_results(simulate_results(simulate_trials(4, 2, LABELS[:2]), name="question"), folder / "question")
    return folder


@pytest.fixture(scope="module")
def site(boards: Path, tmp_path_factory: pytest.TempPathFactory, few_resamples: None) -> Path:
    """Its site."""
    return build_site(boards, tmp_path_factory.mktemp("site")).parent


def test_boards_and_experiments_have_lists_of_their_own(boards: Path, site: Path) -> None:
    """Each folder is listed once, and the two lists link to each other."""
    lists = {name: Page(site / name) for name in ("index.html", "experiments.html", "algorithms.html")}
    assert verify_folder(boards / "board") == []
    assert "board/index.html" in lists["index.html"].links
    assert "question/index.html" not in lists["index.html"].links
    assert "question/index.html" in lists["experiments.html"].links
    assert "board/index.html" not in lists["experiments.html"].links
    for name, page in lists.items():
        assert {*lists} - {name} <= set(page.links)


def test_every_link_leads_somewhere(site: Path) -> None:
    """Links of all pages lead to files of the site, and to ids where they name one; ids are unique."""
    pages = {path: Page(path) for path in site.rglob("*.html")}
    for path, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), path
        for link in page.links:
            address, anchor = urldefrag(link)
            target = (path.parent / unquote(address)).resolve() if address else path
            assert target.is_file(), (path, link)
            if anchor and target.suffix == ".html":
                assert unquote(anchor) in pages[target].ids, (path, link)


def test_every_page_leads_to_its_list(site: Path) -> None:
    """A report, an algorithm's page and an architecture's page link to the list that they are in."""
    assert "../index.html" in Page(site / "board" / "index.html").links
    assert "../experiments.html" in Page(site / "question" / "index.html").links
    assert "../algorithms.html" in Page(site / "algorithms" / "agd.html").links
    page = next((site / "board" / "architectures").glob("*.html"))
    assert {"../index.html", "../../index.html"} <= set(Page(page).links)


def test_rows_have_permalinks_and_pages(site: Path) -> None:
    """Each row of the standings has an id, and links to itself and to the algorithm's page."""
    page = Page(site / "board" / "index.html")
    for label in LABELS:
        assert f"g1-algorithm-{label}" in page.ids
        assert f"#g1-algorithm-{label}" in page.links
        assert f"../algorithms/{label}.html" in page.links
        assert f"../board/index.html#g1-algorithm-{label}" in Page(site / "algorithms" / f"{label}.html").links


def test_an_architecture_has_a_page_on_its_board(site: Path) -> None:
    """Each architecture's page shows every algorithm, and the same architecture has the same address in every version."""
    ranks = pd.read_csv(site / "board" / "data" / "ranks.csv")
    names = {name_of("cells", name) for name in ranks["architecture"].unique()}
    assert {path.name for path in (site / "board" / "architectures").glob("*.html")} == names
    assert name_of("cells", "|conv~0|+|skip~0|") == "0e251d40087c.html"
    page = Page(site / "board" / "architectures" / sorted(names)[0])
    assert {f"g1-{label}" for label in LABELS} <= set(page.ids)
    assert "svg" in [tag for tag, _ in page.tags]


def test_entries_are_filtered_by_tier_search_space_and_data_set(site: Path) -> None:
    """The rows of the list of entries carry the values that the menus offer."""
    page = Page(site / "algorithms.html")
    menus = [found["data-facet"] for tag, found in page.tags if tag == "select"]
    assert menus == ["tier"], "a menu with one value is left out"
    rows = page.rows(**{"search-space": "cells", "data-set": "digits", "board": "board"})
    assert len(rows) == len(LABELS)
    assert {row["data-tier"] for row in rows} == {"self-tuning", "learning-rate-free"}


def test_any_two_entries_are_compared(site: Path) -> None:
    """The page carries the numbers of every pair, which are those of the published tables, and another page has them without a script."""
    page = Page(site / "board" / "index.html")
    (found,) = [found for _, found in page.tags if "data-numbers" in found]
    numbers = json.loads(found["data-numbers"])
    table = pd.read_csv(site / "board" / "data" / "pairwise_differences.csv")
    assert list(zip(table["algorithm"], table["other"], strict=True)) == list(combinations(LABELS, 2))
    assert [row[:3] for row in numbers] == table[["difference", "low", "high"]].round(4).to_numpy().tolist()
    taus = pd.read_csv(site / "board" / "data" / "kendall_tau.csv")
    pair = taus[(taus["algorithm"] == "sgd") & (taus["other"] == "agd")].iloc[0]
    assert numbers[0][3:5] == [round(pair["kendall_tau"], 4), round(pair["noise_ceiling"], 4)]
    for one, other in combinations(LABELS, 2):
        assert f"board-g1-{one}-{other}" in Page(site / "algorithms" / f"{one}.html").ids
        assert f"board-g1-{other}-{one}" in Page(site / "algorithms" / f"{other}.html").ids


def test_nothing_but_menus_needs_a_script(site: Path) -> None:
    """Hidden are only the menus and the comparison, which the script shows, and no part of the content."""
    for path in site.rglob("*.html"):
        for tag, found in Page(path).tags:
            if "hidden" in found:
                assert (tag, found.get("class")) in (("p", "filter"), ("details", "compare")), path


def test_a_site_is_the_same_each_time(boards: Path, site: Path, tmp_path: Path, few_resamples: None) -> None:
    """Built again from a copy of the folders, every file has the same bytes."""
    again = build_site(Path(shutil.copytree(boards, tmp_path / "copy")), tmp_path / "site").parent
    files = {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()}
    assert files == {path.relative_to(site): path.read_bytes() for path in site.rglob("*") if path.is_file()}
