"""The precision that suits a device."""

from __future__ import annotations

import torch

from agd_bench.records import Precision


def suited_precision(device: torch.device) -> Precision:
    """`bfloat16` where the device has instructions for it, else `float32`; emulated arithmetic would be slower than float32.

    Args:
        device: a GPU of compute capability 8.0 or more, or a CPU with AVX512-BF16 or AMX, has them.
    """
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return "bfloat16" if able else "float32"
