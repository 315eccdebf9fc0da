"""An audit: a random sample of published trials, trained again by somebody, with what came out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agd_bench.records.values import Record

Verdict = Literal["equal", "inside", "outside"]


class Outcome(Record):
    """What one training ended with: as in `TrialResult`."""

    status: str
    train_loss: float | None = None
    val_accuracy: float | None = None
    test_accuracy: float | None = None


class Rerun(Record):
    """One trial that was trained again.

    Attributes:
        trial_id: of the published trial.
        published: what its row says.
        found: what the rerun ended with.
        same: whether code, torch and device were those of the published row, so that equal numbers are expected on a CPU.
        band: largest difference of test accuracy that seed noise explains.
        verdict: equal to the last digits, inside the band, or outside.
    """

    trial_id: str
    published: Outcome
    found: Outcome
    same: bool
    band: float
    verdict: Verdict


class Audit(Record):
    """What `agd-bench audit` found.

    Attributes:
        algorithm: label of the audited algorithm or entry.
        share: of its trained final trials that were drawn.
        seed: of the draw, which anybody can repeat.
        date: day, ISO 8601.
        by: who trained again, if they wish.
        note: for readers, for example why results differ.
        provenance: versions, code and device of the reruns.
        reruns: one for each drawn trial.
    """

    algorithm: str
    share: Annotated[float, Field(strict=True, gt=0, le=1)]
    seed: Annotated[int, Field(strict=True, ge=0)]
    date: str
    by: str = ""
    note: str = ""
    provenance: dict[str, str]
    reruns: Annotated[tuple[Rerun, ...], Field(min_length=1)]
