"""What was measured: the result of a trial and its curve."""

from __future__ import annotations

from agd_bench.records.values import Record, Status


class CurvePoint(Record):
    """One evaluation in time, after an epoch.

    Attributes:
        epoch: epochs done, from 1.
        train_loss: mean loss of the epoch's training batches.
        train_accuracy: share of correct answers on the epoch's training batches, in [0, 1].
        val_loss: mean cross-entropy on the validation split; None if the logits overflow it.
        val_accuracy: share of correct answers on the validation split, in [0, 1].
        train_seconds: seconds of training so far, without evaluation.
        learning_rate: the optimizer's learning rate (AGD: its automatic one) of the epoch's last step.
        diagnostics: the optimizer's own numbers about its steps and what was measured of the network during the epoch, by name.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float
    train_seconds: float
    learning_rate: float | None = None
    diagnostics: dict[str, float] = {}


class TrialResult(Record):
    """What one attempt at a trial measured. A value that was not measured is None, never 0.

    Attributes:
        status: how the trial ended.
        reason: why, for every status except `done`.
        test_accuracy: on the test split after the last epoch; never used for any choice.
        train_seconds: seconds of training steps in this attempt.
        total_seconds: seconds of the whole attempt: building, training, evaluating.
        flops: floating-point operations charged to training (2 per multiply-add, forward and backward).
        forward_flops: those of one image's forward pass.
        parameters: trainable scalars.
        peak_memory_bytes: largest device memory in use; None on a CPU.
        energy_joules: of a device that the trial had to itself; None otherwise.
        resumed_epoch: epochs taken over from a checkpoint of an earlier attempt; 0: none.
        provenance: versions, device, thread count, and whether the trial had the device to itself, as strings.
    """

    trial_id: str
    status: Status
    reason: str = ""
    train_loss: float | None = None
    train_accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    test_accuracy: float | None = None
    train_seconds: float = 0.0
    total_seconds: float = 0.0
    flops: int | None = None
    forward_flops: int | None = None
    parameters: int | None = None
    peak_memory_bytes: int | None = None
    energy_joules: float | None = None
    resumed_epoch: int = 0
    curve: tuple[CurvePoint, ...] = ()
    provenance: dict[str, str] = {}
