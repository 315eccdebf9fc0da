"""Tables of search methods: their numbers, their places, and whether their ranking changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agd_bench.report.search_page import build_search_page, search_screen, search_sentences
from agd_bench.searching.campaign import POINTS, Campaign, Outcome, Outcomes, Setting
from agd_bench.searching.method_tables import compare_methods
from agd_bench.tabular import Key
from tests.tabular.synthetic import synthetic_table

METHODS = tuple("abcdefghij")
PLAIN, TUNED = Key("digits", "plain", 8), Key("digits", "tuned", 8)
RUNS = 200


def campaign_of(reversed_at: str = "") -> tuple[Campaign, Outcomes]:
    """Return ten methods; later ones find better architectures for `plain`, and for `tuned` too unless it is reversed."""
    table = synthetic_table(reversed_at=reversed_at)
    campaign = Campaign(table, (Setting(PLAIN, (2, 8), 80.0), Setting(TUNED, (2, 8), 200.0)), METHODS, list(range(27)), RUNS)
    order = np.argsort(table.cells[PLAIN].test_accuracy.mean(axis=1))
    outcomes: Outcomes = {}
    rng = np.random.default_rng(0)
    for number, method in enumerate(METHODS):
        for setting in campaign.settings:
            found = order[np.clip(np.rint(2 * number + rng.normal(0, 3, RUNS)).astype(int) + 3, 0, 26)]
            picks = np.repeat(found[:, None], POINTS, axis=1).astype(np.int32)
            picks[:, :4] = -1
            outcomes[method, setting.key] = Outcome([picks], [np.full(RUNS, 7, dtype=np.int32)], "", 1.0)
    return campaign, outcomes


def test_numbers_of_one_method_by_hand() -> None:
    """Accuracy, regret and improvement over the average match a computation by hand, and the curve ends at the final regret."""
    campaign, outcomes = campaign_of()
    tables: dict[str, Any] = dict(compare_methods(campaign, outcomes, PLAIN))
    row = tables["methods"].query("method == 'a' and setting == 'digits/plain@8'").iloc[0]
    test = campaign.table.cells[PLAIN].test_accuracy.mean(axis=1)
    found = test[outcomes["a", PLAIN].picks[0][:, -1]]
    assert row["accuracy"] == pytest.approx(found.mean())
    assert row["regret"] == pytest.approx(test.max() - found.mean())
    assert row["relative_improvement"] == pytest.approx((found.mean() - test.mean()) / test.mean())
    assert (row["runs"], row["trainings"], row["place_low"], row["place_high"]) == (RUNS, 7, 10, 10)
    curve = tables["anytime"].query("method == 'a' and setting == 'digits/plain@8'")
    assert curve["seconds"].iloc[0] == pytest.approx(80 * 5 / POINTS), "nothing is known before"
    assert curve["regret"].iloc[-1] == pytest.approx(row["regret"])
    assert set(tables["methods"]["deployed"]) == {"plain@8", "tuned@8"}


@pytest.mark.parametrize(("reversed_at", "decision"), [("tuned", "differs"), ("", "same")])
def test_a_change_of_the_ranking_is_found(reversed_at: str, decision: str) -> None:
    """If one algorithm prefers the opposite architectures, the ranking of the methods differs; otherwise it is the same."""
    tables: dict[str, Any] = dict(compare_methods(*campaign_of(reversed_at), PLAIN))
    row = tables["decisions"].iloc[0]
    assert (row["baseline"], row["challenger"], row["decision"]) == (str(PLAIN), str(TUNED), decision)
    assert (row["architectures"], row["seeds"]) == (10, RUNS)


def test_failing_and_slow_methods() -> None:
    """A failing method is last, with its reason; a method with few runs has numbers but no place."""
    campaign, outcomes = campaign_of()
    outcomes["j", PLAIN] = Outcome(reason="run 0: asked for 'elsewhere'")
    for key in (PLAIN, TUNED):
        slow = outcomes["i", key]
        slow.picks, slow.trainings = [slow.picks[0][:50]], [slow.trainings[0][:50]]
    tables: dict[str, Any] = dict(compare_methods(campaign, outcomes, PLAIN))
    rows = tables["methods"].query("setting == 'digits/plain@8'").set_index("method")
    assert (rows.loc["j", "place"], rows.loc["j", "place_low"]) == (9, 9)
    assert np.isnan(rows.loc["j", "regret"])
    assert np.isnan(rows.loc["i", "place"])
    assert rows.loc["i", "regret"] < rows.loc["a", "regret"]
    assert tables["decisions"]["architectures"].tolist() == [8]
    shown = [each for each in search_screen(tables, "plain@8", []) if not isinstance(each, str)]
    assert shown[0].set_index("Method").loc["j", "Note"] == "run 0: asked for 'elsewhere'"
    assert "too few runs" in str(shown[0].set_index("Method").loc["i", "Note"])


def test_the_page(tmp_path: Path) -> None:
    """The page contains the sentences of the first screen, and its folder has the data and a figure."""
    campaign, outcomes = campaign_of("tuned")
    tables = compare_methods(campaign, outcomes, PLAIN)
    page = build_search_page("synthetic <table>", tables, "plain@8", ["One restriction."], "agd-bench search x", tmp_path / "page")
    text = page.read_text(encoding="utf-8")
    assert "synthetic &lt;table&gt;" in text
    assert "One restriction." in text
    sentences = list(search_sentences(tables, "plain@8"))
    assert len(sentences) == 3
    assert "ranks the methods differently" in sentences[-1]
    assert all(sentence.replace("'", "&#39;") in text for sentence in sentences)
    assert {path.name for path in (tmp_path / "page" / "data").iterdir()} == {
        "methods.csv",
        "anytime.csv",
        "agreement.csv",
        "decisions.csv",
    }
    assert (tmp_path / "page" / "figures" / "anytime_regret.svg").stat().st_size > 10_000
