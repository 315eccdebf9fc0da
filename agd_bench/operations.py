"""FLOPs of torch operations from the shapes of their arguments.

Convolutions and matrix products count with two FLOPs per multiply-add. The count depends on the operation, not on the kernel.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload


def _convolution(given: Sequence[Any], result: Any) -> int:
    images, transposed = given[0], given[6]
    kernels: Tensor = given[1]
    # Kernels are (C_out, C_in / groups, ...), transposed ones (C_in, C_out / groups, ...): each position takes one slice of them.
    # Padding counts like the rest.
    return 2 * int((images if transposed else result).numel()) * math.prod(kernels.shape[1:])


def _convolution_backward(given: Sequence[Any], _: Any) -> int:
    gradient, images, transposed, (wants_images, wants_kernels, _bias) = given[0], given[1], given[7], given[10]
    kernels: Tensor = given[2]
    # Each gradient has as many multiply-adds as the forward pass, summed over a different index.
    forward = 2 * int((images if transposed else gradient).numel()) * math.prod(kernels.shape[1:])
    return forward * (bool(wants_images) + bool(wants_kernels))


def _product(first: int) -> Callable[[Sequence[Any], Any], int]:
    """FLOPs of a product of (..., M, K) or (K,) with (..., K, N) or (K,).

    Args:
        first: position of the left factor among the arguments; the right one follows.
    """

    def count(given: Sequence[Any], _: Any) -> int:
        left, right = given[first : first + 2]
        # Each of the M * K elements on the left is used for N columns on the right.
        return 2 * int(left.numel()) * (int(right.shape[-1]) if right.ndim > 1 else 1)

    return count


def _attention(first: int, passes: int) -> Callable[[Sequence[Any], Any], int]:
    """FLOPs of scaled dot-product attention: queries (..., T, D) with keys (..., S, D), and weights with values (..., S, E).

    Args:
        first: position of the queries among the arguments; keys and values follow.
        passes: 1 for forward; 2 for backward, which needs two gradients of each product.
    """

    def count(given: Sequence[Any], _: Any) -> int:
        queries, keys, values = given[first : first + 3]
        rows = int(queries.numel()) // int(queries.shape[-1])
        # T * S scores of length D, then values of length E. A mask saves nothing, and what a fused backward recomputes
        # to save memory is not counted again.
        return passes * 2 * rows * int(keys.shape[-2]) * int(queries.shape[-1] + values.shape[-1])

    return count


_FUSED_ATTENTION = ("efficient_attention", "flash_attention", "flash_attention_for_cpu", "cudnn_attention")
_COUNTED: dict[str, Callable[[Sequence[Any], Any], int]] = {
    "convolution": _convolution,
    "convolution_backward": _convolution_backward,
    **{name: _product(0) for name in ("mm", "bmm", "mv", "dot", "vdot")},
    **{name: _product(1) for name in ("addmm", "_addmm_activation", "addmv", "addbmm", "baddbmm")},
    **{f"_scaled_dot_product_{name}": _attention(0, passes=1) for name in _FUSED_ATTENTION},
    **{f"_scaled_dot_product_{name}_backward": _attention(1, passes=2) for name in _FUSED_ATTENTION},
}

_TAGS_WITHOUT = frozenset({torch.Tag.pointwise, torch.Tag.reduction, torch.Tag.inplace_view, torch.Tag.view_copy})
_NORMALISATIONS = """
    native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training _batch_norm_with_update _batch_norm_no_update batch_norm
    cudnn_batch_norm miopen_batch_norm native_group_norm native_layer_norm _fused_rms_norm _weight_norm_interface
    _softmax _softmax_backward_data _log_softmax _log_softmax_backward_data _safe_softmax
"""
_ACTIVATIONS = """
    celu elu gelu glu hardshrink hardsigmoid hardswish hardtanh leaky_relu log_sigmoid log_sigmoid_forward mish _prelu_kernel
    rrelu_with_noise silu softplus softshrink threshold native_dropout _fused_dropout
"""
_POOLINGS = """
    _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d avg_pool2d avg_pool3d
    max_pool2d_with_indices max_pool3d_with_indices mkldnn_max_pool2d max_unpool2d max_unpool3d
    upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact2d upsample_linear1d upsample_bilinear2d
    upsample_bicubic2d upsample_trilinear3d
"""
_REDUCTIONS = """
    argmax argmin cummax cummin cumprod cumsum kthvalue max mean median min mse_loss nll_loss nll_loss_forward nll_loss2d nll_loss2d_forward
    norm prod sort std std_mean sum topk var var_mean
"""
_COPIES = """
    alias arange as_strided_scatter bernoulli cat channel_shuffle clone col2im constant_pad_nd copy diag_embed diagonal diagonal_scatter
    embedding embedding_dense empty empty_like empty_permuted empty_strided exponential eye fill flip full full_like gather im2col index
    index_add index_copy index_fill index_put _index_put_impl index_select lift lift_fresh linspace _local_scalar_dense masked_fill
    masked_scatter masked_select new_empty new_empty_strided new_full new_ones new_zeros normal one_hot ones ones_like pixel_shuffle
    pixel_unshuffle put rand rand_like randint randn randn_like randperm random reflection_pad1d reflection_pad2d reflection_pad3d repeat
    repeat_interleave replication_pad1d replication_pad2d replication_pad3d resize roll scalar_tensor scatter scatter_add scatter_reduce
    select select_scatter set slice slice_scatter stack take _to_copy tril triu unfold uniform _unsafe_index _unsafe_index_put
    unsafe_split unsafe_split_with_sizes _unsafe_view where zero zeros zeros_like
"""
_WITHOUT = frozenset(f"{_NORMALISATIONS} {_ACTIVATIONS} {_POOLINGS} {_REDUCTIONS} {_COPIES}".split())
"""Operations that torch tags neither as pointwise nor as reductions, and that count nothing here; backward and in place alike."""


def flops_of_operation(operation: OpOverload, given: Sequence[Any], result: Any) -> int | None:
    """FLOPs of one call; None if it is unknown whether the operation has multiply-adds."""
    count = _rule_of(operation)
    if count is None or not all(_is_plain(value) for value in given if isinstance(value, Tensor)):
        # An operation without multiply-adds has none in any layout.
        return 0 if count is _nothing else None
    return count(given, result)


def is_known(operation: OpOverload) -> bool:
    """Whether `flops_of_operation` knows an operation, so it does not need to be decomposed."""
    return _rule_of(operation) is not None


@functools.cache
def _rule_of(operation: OpOverload) -> Callable[[Sequence[Any], Any], int] | None:
    """How to count an operation; None if unknown."""
    name = operation._overloadpacket.__name__.removesuffix("_")
    if operation.namespace != "aten":
        # The multiply-adds of a custom kernel are unknown.
        return _nothing if operation.namespace in ("prim", "profiler") else None
    without = operation.is_view or not _TAGS_WITHOUT.isdisjoint(operation.tags)
    without = without or name in _WITHOUT or name.removesuffix("_backward") in _WITHOUT
    return _COUNTED.get(name) or (_nothing if without else None)


def _nothing(_: Sequence[Any], __: Any) -> int:
    return 0


def _is_plain(tensor: Tensor) -> bool:
    """Whether products of the tensor have two FLOPs per pair of elements, unlike sparse and complex tensors."""
    return tensor.layout is torch.strided and not tensor.is_complex()
