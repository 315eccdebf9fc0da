"""The file of claims is read back as written, errors are one line with the place, and every edit changes the digest."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agd_bench.claims import Claim, Claims, format_claims, parse_claims, propose_claims, read_claims
from agd_bench.claims.definitions import share_level
from agd_bench.errors import InputError
from agd_bench.records import Sweep

GOOD = """\
level = 0.9

[[claims]]
id = "small-loss"
sentence = "agd loses at most 2 points."
query = "accuracy_difference"
arguments = {baseline = "sgd", challenger = "agd"}
test = "above"
threshold = -0.02
level = 0.95

[[claims]]
id = "same-cost"
sentence = "agd costs as much as sgd."
query = "flops_ratio"
test = "within"
threshold = [0.9, 1.1]
level = 0.95
[claims.arguments]
baseline = "sgd"
challenger = "agd"
"""


def test_a_file_says_what_it_claims() -> None:
    """Inline tables and sub-tables are read alike; thresholds become the bounds of the interval."""
    loss, cost = parse_claims(GOOD, "claims.toml").claims
    assert loss.bounds == (-0.02, float("inf"))
    assert cost.bounds == (0.9, 1.1)
    assert cost.arguments == {"baseline": "sgd", "challenger": "agd"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('query = "accuracy_difference"', 'query = "acuracy_difference"', r"line 6: .*unknown query.*Did you mean 'accuracy_difference'"),
        ("threshold = -0.02\n", "", r"line 3: .*threshold: is missing"),
        ("threshold = -0.02", "threshold = [1, 2]", r"line 9: .*takes one number"),
        ("threshold = -0.02", "threshold = true", r"line 9: .*valid number"),
        ("threshold = [0.9, 1.1]", 'threshold = ["0.9", 1.1]', r"line 17: .*valid number"),
        ("threshold = [0.9, 1.1]", "threshold = [1.1, 0.9]", r"line 17: .*must ascend"),
        ("threshold = [0.9, 1.1]", "threshold = 0.9", r"line 17: .*takes two numbers"),
        ("challenger = \"agd\"}", "challengr = \"agd\"}", r"line 7: .*Did you mean 'challenger'"),
        (', challenger = "agd"}', "}", r"line 7: .*needs challenger"),
        ('id = "same-cost"', 'id = "small-loss"', r"duplicate id small-loss"),
        ('test = "above"', 'test = "over"', r"line 8: .*'above', 'below' or 'within'"),
        ("level = 0.9\n", "level = 0.96\n", r"line 1: .*add up to 0\.1.*level = 0\.98 in each of the 2 claims"),
        ('test = "above"', 'tset = "above"', r"claims\.1"),
        ("[[claims]]", "[[claims", r"not valid TOML.*line 3"),
        ("level = 0.9\n", f"level = {'[' * 20_000}{']' * 20_000}\n", r"not valid TOML"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_where_it_is_bad(old: str, new: str, message: str) -> None:
    """The error is one line that names the file, the line, and what is wrong."""
    assert old in GOOD
    with pytest.raises(InputError, match=message) as caught:
        parse_claims(GOOD.replace(old, new, 1), "claims.toml")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("claims.toml")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A missing file and one that is not text are errors."""
    with pytest.raises(InputError, match="cannot read claims"):
        read_claims(tmp_path / "claims.toml")
    (tmp_path / "claims.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot read claims"):
        read_claims(tmp_path / "claims.toml")


@given(
    st.builds(
        Claim,
        id=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,20}", fullmatch=True),
        sentence=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=60),
        query=st.just("mean_accuracy"),
        arguments=st.fixed_dictionaries({"algorithm": st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)}),
        test=st.sampled_from(["above", "below"]),
        threshold=st.floats(-1e9, 1e9),
        level=st.floats(0.96, 0.999),
    )
)
def test_what_is_written_is_read_back(claim: Claim) -> None:
    """Any sentence and number, and the digest, are unchanged after writing and reading."""
    claims = Claims(level=0.95, claims=(claim,))
    again = parse_claims(format_claims(claims), "claims.toml")
    assert again == claims
    assert again.claims[0].digest == claim.digest


def test_every_edit_changes_the_digest() -> None:
    """The digest covers every field of a definition; the order of arguments, and 0 instead of 0.0, do not change it."""
    claim = parse_claims(GOOD, "claims.toml").claims[0]
    edits: list[dict[str, object]] = [
        {"id": "other"}, {"sentence": "agd loses next to nothing."}, {"query": "flops_ratio"}, {"test": "below"}, {"threshold": -0.2},
        {"level": 0.951}, {"arguments": {"baseline": "sgd", "challenger": "lion"}},
    ]  # fmt: skip
    digests = {Claim.model_validate({**claim.model_dump(), **edit}).digest for edit in edits}
    assert len(digests | {claim.digest}) == len(edits) + 1
    turned = dict(reversed(claim.arguments.items()))
    assert Claim.model_validate({**claim.model_dump(), "arguments": turned}).digest == claim.digest
    zero = [Claim.model_validate({**claim.model_dump(), "threshold": value}).digest for value in (0, 0.0)]
    assert zero[0] == zero[1]


def test_levels_add_up() -> None:
    """Divided among any number of claims, the error probabilities add up to at most the file's."""
    for count in (1, 2, 7, 45, 1000):
        assert count * (1 - share_level(0.95, count)) <= 0.05 + 1e-9


def test_the_proposals_know_nothing_of_results() -> None:
    """Proposed claims depend only on the sweep: the first challenger in every group, and lower cost than a tuned baseline."""
    sweep = Sweep.model_validate(
        {
            "name": "s",
            "epochs": 1,
            "baseline": "sgd_tuned",
            "search_spaces": [{"name": "cells"}],
            "datasets": [{"name": "digits"}, {"name": "mnist"}],
            "algorithms": [{"name": "agd"}, {"name": "sgd_tuned", "tuning_trials": 3}, {"name": "lion", "tuning_trials": 3}],
        }
    )
    claims = propose_claims(sweep)
    assert len(claims.claims) == 2 * 4  # four claims about the first challenger in each group
    assert {claim.arguments["dataset"] for claim in claims.claims} == {"digits", "mnist"}
    cheap = [claim for claim in claims.claims if claim.query == "flops_ratio"]
    assert {(claim.arguments["challenger"], claim.threshold) for claim in cheap} == {("agd", 0.5)}
    assert parse_claims(format_claims(claims), "claims.toml") == claims
