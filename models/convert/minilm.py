"""Makes the ONNX graph of all-MiniLM-L6-v2 from its published weights.

    python minilm.py FOLDER OUTPUT.onnx

FOLDER holds `model.safetensors` and `config.json` as the model's authors published them. The graph has the
batch and the number of tokens free, and two outputs: the last hidden state, and the sentence's embedding
(the mean over the tokens that the mask keeps, scaled to length one), as sentence-transformers computes it.

The graph is written out here, operator by operator, so that no machine-learning framework is needed.
"""

import json
import pathlib
import struct
import sys

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
# The least float32, added to the scores of masked tokens as in the reference implementation.
MASKED = numpy.float32(numpy.finfo(numpy.float32).min)


def read_safetensors(path):
    """All tensors of a safetensors file: a length, a JSON header, then the bytes it points into."""
    types = {"F32": numpy.float32, "I64": numpy.int64}
    raw = path.read_bytes()
    (header_bytes,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + header_bytes])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
        flat = numpy.frombuffer(raw[begin:end], types[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


class Graph:
    """Collects nodes and constants; every method returns the name of the value it made."""

    def __init__(self):
        self.nodes = []
        self.constants = {}

    def constant(self, name, value):
        if name not in self.constants:
            value = numpy.ascontiguousarray(value)
            self.constants[name] = numpy_helper.from_array(value, name)
        return name

    def scalar(self, name, value):
        # ascontiguousarray would make it a vector of one.
        self.constants.setdefault(name, numpy_helper.from_array(numpy.float32(value), name))
        return name

    def axes(self, *values):
        return self.constant("axes_" + "_".join(map(str, values)), numpy.array(values, numpy.int64))

    def node(self, operator, *inputs, output=None, **attributes):
        output = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output


class Encoder:
    """The transformer encoder of BERT, with this model's sizes."""

    def __init__(self, graph, weights, config):
        self.graph = graph
        self.weights = weights
        self.hidden = config["hidden_size"]
        self.heads = config["num_attention_heads"]
        self.layers = config["num_hidden_layers"]
        self.epsilon = config["layer_norm_eps"]

    def weight(self, name):
        return self.graph.constant(name, self.weights[name])

    def linear(self, x, name):
        transposed = self.graph.constant(name + ".weight_t", self.weights[name + ".weight"].T)
        product = self.graph.node("MatMul", x, transposed)
        return self.graph.node("Add", product, self.weight(name + ".bias"))

    def norm(self, x, name):
        weight, bias = self.weight(name + ".weight"), self.weight(name + ".bias")
        return self.graph.node("LayerNormalization", x, weight, bias, axis=-1, epsilon=self.epsilon)

    def embed(self, ids, types):
        g = self.graph
        tokens = g.node("Gather", self.weight("embeddings.word_embeddings.weight"), ids)
        kinds = g.node("Gather", self.weight("embeddings.token_type_embeddings.weight"), types)
        length = g.node("Shape", ids, start=1, end=2)
        table = self.weight("embeddings.position_embeddings.weight")
        places = g.node("Slice", table, g.axes(0), length, g.axes(0))
        both = g.node("Add", tokens, kinds)
        return self.norm(g.node("Add", both, places), "embeddings.LayerNorm")

    def split_heads(self, x, order):
        shape = numpy.array([0, 0, self.heads, self.hidden // self.heads], numpy.int64)
        split = self.graph.node("Reshape", x, self.graph.constant("split_heads", shape))
        return self.graph.node("Transpose", split, perm=order)

    def attend(self, x, bias, name):
        g = self.graph
        query = self.split_heads(self.linear(x, name + ".self.query"), [0, 2, 1, 3])
        key = self.split_heads(self.linear(x, name + ".self.key"), [0, 2, 3, 1])
        value = self.split_heads(self.linear(x, name + ".self.value"), [0, 2, 1, 3])
        root = g.scalar("root_of_head_size", (self.hidden // self.heads) ** 0.5)
        scores = g.node("Div", g.node("MatMul", query, key), root)
        shares = g.node("Softmax", g.node("Add", scores, bias), axis=-1)
        mixed = g.node("Transpose", g.node("MatMul", shares, value), perm=[0, 2, 1, 3])
        merged = g.constant("merge_heads", numpy.array([0, 0, self.hidden], numpy.int64))
        out = self.linear(g.node("Reshape", mixed, merged), name + ".output.dense")
        return self.norm(g.node("Add", out, x), name + ".output.LayerNorm")

    def gelu(self, x):
        g = self.graph
        erf = g.node("Erf", g.node("Div", x, g.scalar("root_of_two", 2**0.5)))
        grown = g.node("Mul", x, g.node("Add", erf, g.scalar("one", 1)))
        return g.node("Mul", grown, g.scalar("half", 0.5))

    def layer(self, x, bias, name):
        x = self.attend(x, bias, name + ".attention")
        wide = self.gelu(self.linear(x, name + ".intermediate.dense"))
        out = self.linear(wide, name + ".output.dense")
        return self.norm(self.graph.node("Add", out, x), name + ".output.LayerNorm")


def mask_bias(graph, kept):
    """What is added to the scores: nothing for a kept token, the least float for a masked one."""
    over_keys = graph.node("Unsqueeze", kept, graph.axes(1, 2))
    dropped = graph.node("Sub", graph.scalar("one", 1), over_keys)
    return graph.node("Mul", dropped, graph.scalar("masked", MASKED))


def pool(graph, x, kept):
    """The mean over kept tokens, scaled to length one."""
    kept = graph.node("Unsqueeze", kept, graph.axes(2))
    total = graph.node("ReduceSum", graph.node("Mul", x, kept), graph.axes(1), keepdims=0)
    count = graph.node("ReduceSum", kept, graph.axes(1), keepdims=0)
    count = graph.node("Max", count, graph.scalar("tiny", 1e-9))
    mean = graph.node("Div", total, count)
    square = graph.node("ReduceSum", graph.node("Mul", mean, mean), graph.axes(1), keepdims=1)
    return graph.node("Div", mean, graph.node("Sqrt", square), output="sentence_embedding")


def build(weights, config):
    graph = Graph()
    encoder = Encoder(graph, weights, config)
    kept = graph.node("Cast", "attention_mask", to=TensorProto.FLOAT)
    bias = mask_bias(graph, kept)
    x = encoder.embed("input_ids", "token_type_ids")
    for layer in range(encoder.layers):
        x = encoder.layer(x, bias, f"encoder.layer.{layer}")
    graph.node("Identity", x, output="last_hidden_state")
    pool(graph, x, kept)

    def value(name, kind, *shape):
        return helper.make_tensor_value_info(name, kind, shape)

    names = ["input_ids", "attention_mask", "token_type_ids"]
    inputs = [value(name, TensorProto.INT64, "batch", "seq") for name in names]
    outputs = [
        value("last_hidden_state", TensorProto.FLOAT, "batch", "seq", encoder.hidden),
        value("sentence_embedding", TensorProto.FLOAT, "batch", encoder.hidden),
    ]
    constants = list(graph.constants.values())
    body = helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(body, opset_imports=opsets, ir_version=8, producer_name="gpumux")


def main():
    folder, output = map(pathlib.Path, sys.argv[1:])
    config = json.loads((folder / "config.json").read_text())
    model = build(read_safetensors(folder / "model.safetensors"), config)
    onnx.checker.check_model(model)
    output.write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
