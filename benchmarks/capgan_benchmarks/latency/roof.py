"""The fastest that this machine does products and copies, and how near to it a contestant comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from capgan_benchmarks.latency.graph_cost import GraphCost
from capgan_benchmarks.latency.record import Ceiling, RoofShare

_SIDE = 1024
"""Of the square matrices that are multiplied."""
_COPIED_BYTES = 128 << 20
"""Far more than caches hold."""
_REPEATS = 10
_MAX_S = 1.0
"""Of one kind: what a processor has no instructions for takes seconds a product, and is no ceiling of anything."""


def measure_ceilings(threads: int, *, side: int = _SIDE, copied_bytes: int = _COPIED_BYTES,
                     repeats: int = _REPEATS) -> tuple[Ceiling, ...]:  # fmt: skip
    """Return what products in each precision and copies reach here: each the best of its repeats, or of a second's."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            fp32, bf16 = (torch.randn(side, side).to(dtype) for dtype in (torch.float32, torch.bfloat16))
            matmul, integer = (_product(side, threads, op) for op in ("MatMul", "MatMulInteger"))
            source = torch.zeros(copied_bytes, dtype=torch.uint8)
            target = torch.empty_like(source)
            calls: tuple[tuple[str, str, float, Callable[[], object]], ...] = (
                ("fp32", f"torch.matmul, {side} x {side}", side**3, lambda: torch.matmul(fp32, fp32)),
                ("bf16", f"torch.matmul, {side} x {side}", side**3, lambda: torch.matmul(bf16, bf16)),
                ("fp32", f"MatMul of ONNX Runtime, {side} x {side}", side**3, matmul),
                ("int8", f"MatMulInteger of ONNX Runtime, {side} x {side}", side**3, integer),
                ("copy", f"torch.Tensor.copy_ of {copied_bytes >> 20} MiB", 2 * copied_bytes,
                 lambda: target.copy_(source)),
            )  # fmt: skip
            return higher(tuple(_ceiling(kind, by, work, call, repeats) for kind, by, work, call in calls))
    finally:
        torch.set_num_threads(before)


def higher(*measured: tuple[Ceiling, ...]) -> tuple[Ceiling, ...]:
    """Return the highest ceiling of each kind."""
    held: dict[str, Ceiling] = {}
    for each in (ceiling for ceilings in measured for ceiling in ceilings):
        if each.kind not in held or each.value > held[each.kind].value:
            held[each.kind] = each
    return tuple(held.values())


def share_of_roof(
    name: str, cost: GraphCost, *, batch: int, precision: str, engine_ms: float, ceilings: Sequence[Ceiling]
) -> RoofShare | None:
    """Return the share; None where no ceiling was measured in the precision.

    Args:
        name: of the contestant.
        cost: of one query.
        batch: frames of a query.
        precision: of floating point: what an INT8 graph leaves is FP32.
        engine_ms: median time of a query in the engine.
        ceilings: of this machine.
    """
    rates: dict[str, float] = {each.kind: each.value for each in ceilings}
    floating = "fp32" if precision == "int8" else precision
    if floating not in rates:
        return None
    compute_ms = 1000 * (cost.float_macs / rates[floating] + cost.int8_macs / rates["int8"])
    memory_ms = 1000 * cost.moved_bytes / rates["copy"]
    roof_ms = max(compute_ms, memory_ms)
    return RoofShare(
        name=name, batch=batch, macs=cost.float_macs + cost.int8_macs, int8_macs=cost.int8_macs,
        moved_bytes=cost.moved_bytes, roof_ms=roof_ms, bound="compute" if compute_ms >= memory_ms else "memory",
        percent=100 * roof_ms / engine_ms,
    )  # fmt: skip


def _ceiling(kind: str, by: str, work: float, call: Callable[[], object], repeats: int) -> Ceiling:
    """Return the best of some repeats behind one that is not counted; of fewer where they take long."""
    call()
    taken_s: list[float] = []
    while len(taken_s) < repeats and sum(taken_s) < _MAX_S:
        started_s = time.perf_counter()
        call()
        taken_s.append(time.perf_counter() - started_s)
    return Ceiling.model_validate({"kind": kind, "value": work / min(taken_s), "by": by, "n": len(taken_s)})


def _product(side: int, threads: int, op: str) -> Callable[[], object]:
    """Return a product in ONNX Runtime: `MatMul` of float32, or `MatMulInteger` of uint8 and int8, which processors
    have instructions for.
    """
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    from capgan_edge.runtime.ort import CPU, session_options

    rng, is_int8 = np.random.default_rng(0), op == "MatMulInteger"
    given, made = (TensorProto.UINT8, TensorProto.INT32) if is_int8 else (TensorProto.FLOAT, TensorProto.FLOAT)
    weight = rng.integers(-127, 128, (side, side)).astype(np.int8 if is_int8 else np.float32)
    graph = helper.make_graph(
        [helper.make_node(op, ["x", "weight"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", given, [side, side])],
        [helper.make_tensor_value_info("y", made, [side, side])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = session_options(threads=threads)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=[CPU])
    x = rng.integers(0, 256, (side, side)).astype(np.uint8 if is_int8 else np.float32)
    return lambda: session.run(None, {"x": x})
