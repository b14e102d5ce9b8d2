"""Makes the reference results that the engine's tests compare with: ONNX Runtime's, on the CPU.

    python make.py MODELS

MODELS is the folder that `cargo xtask models` fills. For every case a folder beside this script is written
anew: one .npy file for each input, and one for each output that the case keeps.

Each request of a batch is run alone, so the results of a padded batch are compared with what each request
would get without padding.
"""

import gzip
import io
import json
import pathlib
import shutil
import sys

import numpy
import onnxruntime

HERE = pathlib.Path(__file__).parent
SEED = 20240607
VOCABULARY = 30522
MINILM_INPUTS = ["input_ids", "attention_mask", "token_type_ids"]


def session(path, rewrite=True):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not rewrite:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def write(name, tensors):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for tensor, value in tensors.items():
        numpy.save(folder / f"{tensor}.npy", numpy.ascontiguousarray(value))


def minilm(model, name, lengths, random, outputs, change=None):
    """A batch of requests of these lengths, padded to the longest."""
    longest = max(lengths)
    shape = (len(lengths), longest)
    ids = random.integers(1000, VOCABULARY, shape)
    # The marks that a tokeniser puts around a sentence.
    ids[:, 0] = 101
    kinds = numpy.zeros(shape, numpy.int64)
    mask = numpy.zeros(shape, numpy.int64)
    for row, length in enumerate(lengths):
        ids[row, length - 1] = 102
        ids[row, length:] = 0
        mask[row, :length] = 1
    if change:
        change(ids, kinds)
    inputs = dict(zip(MINILM_INPUTS, [ids, mask, kinds]))
    results = {output: [] for output in outputs}
    for row, length in enumerate(lengths):
        own = {tensor: value[row : row + 1, :length] for tensor, value in inputs.items()}
        for output, value in zip(outputs, model.run(outputs, own)):
            results[output].append(value)
    joined = {output: numpy.concatenate(values) for output, values in results.items()}
    write(f"minilm/{name}", {**inputs, **joined})


def magika(models, name, rows):
    data = numpy.stack(rows).astype(numpy.int32)
    results, others = ([model.run(["target_label"], {"bytes": row[None]})[0] for row in data] for model in models)
    results, others = numpy.concatenate(results), numpy.concatenate(others)
    # The model cancels in its first norm. On inputs that are nearly the same everywhere the oracle disagrees
    # with itself as soon as it adds in another order, so it could not judge anybody else.
    noise = numpy.abs(results - others).max(axis=1)
    assert (noise < 1e-5).all(), f"{name}: the oracle is not sure: {noise}"
    write(f"magika/{name}", {"bytes": data, "target_label": results})


def magika_rows(random):
    """Begin and end of contents of several kinds, as magika cuts files; 256 stands for no byte."""
    numbers = random.integers(0, 1000, 400)
    array = io.BytesIO()
    numpy.save(array, numbers)
    contents = [
        pathlib.Path(__file__).read_bytes(),
        json.dumps({"numbers": numbers.tolist(), "names": ["a", "b"]}, indent=1).encode(),
        "\n".join(",".join(map(str, row)) for row in numbers.reshape(100, 4)).encode(),
        array.getvalue(),
        gzip.compress(bytes(numbers.tobytes()), mtime=0),
        random.bytes(3000),
        (HERE / "../../LICENSE-APACHE").read_bytes(),
        (HERE / "requirements.txt").read_bytes(),
    ]
    rows = []
    for content in contents:
        row = numpy.full(2048, 256)
        begin, end = content[:4096].lstrip()[:1024], content[-4096:].rstrip()[-1024:]
        row[: len(begin)] = list(begin)
        row[2048 - len(end) :] = list(end)
        rows.append(row)
    return rows


def main():
    models = pathlib.Path(sys.argv[1])
    random = numpy.random.default_rng(SEED)
    embed = session(models / "minilm/model.onnx")
    both = ["last_hidden_state", "sentence_embedding"]
    minilm(embed, "one_of_16", [16], random, both)
    minilm(embed, "one_of_128", [128], random, both[1:])
    minilm(embed, "one_of_1", [1], random, both)
    minilm(embed, "eight_of_64", [64] * 8, random, both[1:])
    minilm(embed, "eight_mixed", [5, 128, 17, 64, 3, 99, 32, 1], random, both[1:])

    def negative(ids, kinds):
        ids[0, 3] = -1
        ids[1, 4] = -VOCABULARY
        kinds[1, 2] = -2

    minilm(embed, "negative_ids", [9, 9], random, both[1:], negative)

    classify = [session(models / "magika/model.onnx", rewrite) for rewrite in (True, False)]
    rows = magika_rows(random)
    magika(classify, "one", rows[:1])
    magika(classify, "eight", rows)


if __name__ == "__main__":
    main()
