"""The answer in a sentence."""

from __future__ import annotations

from typing import Any

from agd_bench.report.sentences.headline import headline_sentence

NUMBERS = {"accuracy": 0.8, "difference": -0.05, "difference_low": -0.08, "difference_high": -0.02, "bad": 0, "trainings": 60}


def row(label: str, place_low: float, decision: str = "", **more: Any) -> dict[str, Any]:
    """One algorithm of the standings."""
    return (
        NUMBERS
        | {"algorithm": label, "place_low": place_low, "architectures": 20, "decision": {"decision": decision} if decision else {}}
        | more
    )


def test_one_challenger() -> None:
    """Which of the two is better, and whether it ranks alike."""
    said = headline_sentence([row("sgd", 1), row("agd", 2, "differs")], "sgd")
    assert said == "agd reaches 5.0 points less test accuracy than sgd; agd ranks the architectures differently from sgd."
    unsure = headline_sentence([row("sgd", 1), row("agd", 1, "cannot tell", difference_high=0.01)], "sgd")
    assert unsure.startswith("The data cannot tell whether agd or sgd reaches the higher test accuracy")
    assert unsure.endswith("the data cannot tell whether agd ranks the architectures like sgd.")


def test_several_challengers() -> None:
    """The leader, who shares its place, and the three kinds of decision."""
    rows = [row("a", 1, "same"), row("sgd", 1), row("b", 3, "differs"), row("c", 4, "cannot tell", bad=7)]
    assert headline_sentence(rows, "sgd") == (
        "a reaches the highest test accuracy, 80.0 %, not clearly ahead of sgd; b ranks the architectures differently from sgd, a ranks "
        "them like sgd and for c the data cannot tell; trainings that ended badly count as accuracy 0 (7 of 60 by c)."
    )


def test_nothing_to_compare() -> None:
    """One algorithm, or none with an outcome."""
    assert "nothing to compare it with" in headline_sentence([row("agd", 1)], "agd")
    assert "nothing can be compared" in headline_sentence([row("agd", 1, accuracy=float("nan"))], "agd")
