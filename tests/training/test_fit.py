"""Choice of the floating-point precision."""

from __future__ import annotations

import pytest
import torch

from agd_bench.training.fit import suited_precision


@pytest.mark.parametrize(("avx", "amx", "expected"), [(True, False, "bfloat16"), (False, True, "bfloat16"), (False, False, "float32")])
def test_a_processor_gets_what_it_has_instructions_for(monkeypatch: pytest.MonkeyPatch, avx: bool, amx: bool, expected: str) -> None:
    """A CPU uses bfloat16 only with AVX512-BF16 or AMX, since emulated arithmetic is slower than float32."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert suited_precision(torch.device("cpu")) == expected


@pytest.mark.parametrize(("native", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_a_gpu_is_asked_for_real_instructions(monkeypatch: pytest.MonkeyPatch, native: bool, expected: str) -> None:
    """A GPU uses bfloat16 only if it supports it natively, not by emulation."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert suited_precision(torch.device("cuda")) == expected
