"""Small ONNX models for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

IDENTITY = 'model = "model.onnx"\nlength = { axis = "seq", max = 64 }\nmax_batch = 4\n'
LOOKUP = IDENTITY
EMBED = (
    'model = "model.onnx"\noutputs = ["sentence_embedding"]\n'
    'length = { axis = "seq", max = 128 }\nmax_batch = 8\n'
)
ROWS = 200


def identity(dtype: np.dtype[Any], width: int) -> bytes:
    """y[seq, width] = x[seq, width]."""
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    dims: list[str | int] = ["batch", "seq", width]
    node = helper.make_node("Identity", ["x"], ["y"])
    return _model([node], [_value("x", kind, dims)], [_value("y", kind, dims)], {})


def lookup() -> bytes:
    """y[seq, 4] = table[x[seq]], whose row r is r, r, r, r; it has `ROWS` of them."""
    table = np.repeat(np.arange(ROWS, dtype=np.float32)[:, None], 4, axis=1)
    node = helper.make_node("Gather", ["table", "x"], ["y"], axis=0)
    inputs = [_value("x", onnx.TensorProto.INT64, ["batch", "seq"])]
    outputs = [_value("y", onnx.TensorProto.FLOAT, ["batch", "seq", 4])]
    return _model([node], inputs, outputs, {"table": table})


def embed() -> bytes:
    """A stand-in for a model of sentences, of the same inputs and outputs."""
    table = np.random.default_rng(1).standard_normal((30522, 8), dtype=np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"], axis=0),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Cast", ["token_type_ids"], ["kinds"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Add", ["mask", "kinds"], ["weights"]),
        helper.make_node("Unsqueeze", ["weights", "last"], ["weights_of_words"]),
        helper.make_node("Mul", ["words", "weights_of_words"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "axis"], ["sentence_embedding"], keepdims=0),
    ]
    names = ["input_ids", "attention_mask", "token_type_ids"]
    inputs = [_value(name, onnx.TensorProto.INT64, ["batch", "seq"]) for name in names]
    outputs = [_value("sentence_embedding", onnx.TensorProto.FLOAT, ["batch", 8])]
    axes = {"last": np.array([2], np.int64), "axis": np.array([1], np.int64)}
    return _model(nodes, inputs, outputs, {"table": table, **axes})


def _value(name: str, kind: int, dims: Sequence[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, dims)


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: dict[str, NDArray[Any]],
) -> bytes:
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, tensors)
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
