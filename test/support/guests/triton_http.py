"""Talks to the serving tier with tritonclient over HTTP: infer, async infer, metadata, statistics, repository and error paths. Prints a line for each check."""

import sys

import gevent.ssl  # noqa: F401
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

url = sys.argv[1]
client = triton.InferenceServerClient(url=url, concurrency=4)
checks = 0


def check(what, is_true):
    global checks
    if not is_true:
        raise AssertionError(what)
    checks += 1
    print(f"ok {what}")


def refused(what, status, text, call):
    try:
        call()
    except InferenceServerException as error:
        check(f"{what} is refused with {status}: {error.message()[:80]}", str(error.status()).startswith(str(status)) and text in error.message())
        return
    raise AssertionError(f"{what} was not refused")


def given(name, array, datatype, binary=True):
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


check("live", client.is_server_live())
check("ready", client.is_server_ready())
check("model ready", client.is_model_ready("tiny") and client.is_model_ready("tiny", "1"))
check("unknown model not ready", not client.is_model_ready("no_such_model"))
check("unknown version not ready", not client.is_model_ready("tiny", "9"))
meta = client.get_server_metadata()
check("server metadata", meta["name"] == "headwater" and "binary_tensor_data" in meta["extensions"])
meta = client.get_model_metadata("tiny")
check("model metadata is the graph's", [(t["name"], t["datatype"], t["shape"]) for t in meta["inputs"]] == [("features", "FP32", [-1, 4])])
check("model configuration", client.get_model_config("tiny")["input"][0]["data_type"] == "TYPE_FP32")

rows = np.array([[10, 3, 1, 0.7], [2, 1, 0, 0.1]], dtype=np.float32)
first = client.infer("tiny", [given("features", rows, "FP32")], request_id="call-1")
check("infer, bytes", first.as_numpy("probabilities").shape == (2, 2) and first.get_response()["id"] == "call-1")
second = client.infer("tiny", [given("features", rows, "FP32", binary=False)], outputs=[triton.InferRequestedOutput("probabilities", binary_data=False)])
check("infer, JSON, gives the same bits", np.array_equal(first.as_numpy("probabilities"), second.as_numpy("probabilities")))
third = client.infer("tiny", [given("features", rows, "FP32")], model_version="1", outputs=[triton.InferRequestedOutput("prediction"), triton.InferRequestedOutput("probabilities", binary_data=False)])
check("requested outputs, bytes and JSON in one", [o["name"] for o in third.get_response()["outputs"]] == ["prediction", "probabilities"])
check("a class as BYTES", third.as_numpy("prediction")[0] in (b"fraud", b"legitimate"))
waiting = [client.async_infer("tiny", [given("features", rows + i, "FP32")]) for i in range(8)]
check("async infer", all(w.get_result().as_numpy("probabilities").shape == (2, 2) for w in waiting))
for codec in ("gzip", "deflate"):
    packed = client.infer("tiny", [given("features", rows, "FP32")], request_compression_algorithm=codec)
    check(f"request as {codec}", np.array_equal(first.as_numpy("probabilities"), packed.as_numpy("probabilities")))
columns = [
    given("amount", np.array([10.0, 2.0]), "FP64"),
    given("count", np.array([3, 1], dtype=np.int64), "INT64"),
    given("weekend", np.array([True, False]), "BOOL"),
    given("category", np.array(["b", "a"], dtype=np.object_), "BYTES"),
]
by_column = client.infer("tiny", columns)
check("a tensor for each column", np.allclose(by_column.as_numpy("probabilities"), first.as_numpy("probabilities"), atol=1e-6))

names = {np.float16: "FP16", np.float32: "FP32", np.float64: "FP64", np.int8: "INT8", np.int16: "INT16", np.int32: "INT32", np.int64: "INT64",
         np.uint8: "UINT8", np.uint16: "UINT16", np.uint32: "UINT32", np.uint64: "UINT64", np.bool_: "BOOL", np.object_: "BYTES"}  # fmt: skip
for dtype, datatype in names.items():
    if dtype is np.object_:
        value = np.array([["ü", ""], ["a\nb", "€"]], dtype=np.object_)
    elif dtype is np.bool_:
        value = np.array([[True, False], [False, True]])
    elif np.issubdtype(dtype, np.floating):
        value = np.array([[1.5, -0.0], [np.nan, np.inf]], dtype=dtype)
    else:
        value = np.array([[np.iinfo(dtype).min, np.iinfo(dtype).max], [0, 7]], dtype=dtype)
    model = f"identity_{'object' if dtype is np.object_ else np.dtype(dtype).name}"
    back = client.infer(model, [given("x", value, datatype)]).as_numpy("y")
    same = [v.decode() if isinstance(v, bytes) else v for v in back.reshape(-1)] == list(value.reshape(-1)) if dtype is np.object_ else back.tobytes() == value.tobytes()
    check(f"{datatype} comes back bit by bit", same and back.shape == value.shape)
    if datatype != "FP16":
        text = client.infer(model, [given("x", value, datatype, binary=False)], outputs=[triton.InferRequestedOutput("y", binary_data=False)]) if not np.issubdtype(dtype, np.floating) and datatype not in ("INT64", "UINT64") else None
        if text is not None:
            check(f"{datatype} as JSON", list(text.get_output("y")["data"]) == [v.item() if hasattr(v, "item") else v for v in value.reshape(-1)])

refused("an unknown model", 404, "no_such_model", lambda: client.infer("no_such_model", [given("features", rows, "FP32")]))
refused("an unknown version", 404, "version 9", lambda: client.infer("tiny", [given("features", rows, "FP32")], model_version="9"))
refused("a wrong datatype", 400, "not FP32", lambda: client.infer("tiny", [given("features", rows.astype(np.float64), "FP64")]))
refused("a wrong shape", 400, "not [N, 4]", lambda: client.infer("tiny", [given("features", rows[:, :3], "FP32")]))
refused("an unknown input", 400, "no input nothing", lambda: client.infer("tiny", [given("nothing", rows, "FP32")]))
refused("an unknown output", 400, "no output nothing", lambda: client.infer("tiny", [given("features", rows, "FP32")], outputs=[triton.InferRequestedOutput("nothing")]))
refused("a classification", 400, "classification", lambda: client.infer("tiny", [given("features", rows, "FP32")], outputs=[triton.InferRequestedOutput("probabilities", class_count=2)]))
refused("metadata of an unknown model", 404, "no_such_model", lambda: client.get_model_metadata("no_such_model"))
huge = np.zeros((400_000, 4), dtype=np.float32)
refused("a body that is too large", 413, "", lambda: client.infer("tiny", [given("features", huge, "FP32")]))
refused("unloading what the configuration has", 409, "serving.models", lambda: client.unload_model("tiny"))


# What is not supported is refused by name, not answered without it.
shared = triton.InferInput("features", [2, 4], "FP32")
shared.set_shared_memory("region", 32)
refused("a tensor in shared memory", 400, "shared_memory_region", lambda: client.infer("tiny", [shared]))
into_shared = triton.InferRequestedOutput("probabilities")
into_shared.set_shared_memory("region", 16)
refused("an output in shared memory", 400, "shared_memory_region", lambda: client.infer("tiny", [given("features", rows, "FP32")], outputs=[into_shared]))
refused("registering shared memory", 404, "systemsharedmemory", lambda: client.register_system_shared_memory("region", "/none", 32))
refused("a sequence", 400, "sequence_id", lambda: client.infer("tiny", [given("features", rows, "FP32")], sequence_id=7, sequence_start=True))
refused("a batch without rows", 400, "above 0", lambda: client.infer("tiny", [given("features", rows[:0], "FP32")]))
half = triton.InferInput("x", [1, 2], "BF16")
half.set_data_from_numpy(np.array([[1.5, 2]], dtype=np.float32))
refused("BF16", 400, "BF16", lambda: client.infer("identity_float32", [half]))
empty = np.array([["", ""]], dtype=np.object_)
check("empty strings", client.infer("identity_object", [given("x", empty, "BYTES")]).as_numpy("y").tolist() == [[b"", b""]])
answer = client.infer("tiny", [given("features", rows, "FP32")], response_compression_algorithm="gzip")
check("an answer as gzip, or as it is", np.array_equal(first.as_numpy("probabilities"), answer.as_numpy("probabilities")))
timed = client.infer("tiny", [given("features", rows, "FP32")], priority=1, timeout=5_000_000, parameters={"entity_id": "e3"})
check("priority, timeout and parameters of the caller", timed.as_numpy("probabilities").shape == (2, 2))

client.load_model("tiny")
client.load_model("identity_int8")
index = client.get_model_repository_index()
check("repository index", any(m["name"] == "tiny" and m["state"] == "READY" for m in index))
client.unload_model("identity_int8")
check("unloaded", all(m["name"] != "identity_int8" for m in client.get_model_repository_index()))
stats = client.get_inference_statistics("tiny")["model_stats"][0]
check("statistics", stats["inference_count"] >= 16 and stats["inference_stats"]["success"]["count"] >= 8)
check("statistics of all models", len(client.get_inference_statistics()["model_stats"]) > 5)
print(f"{checks} passed, 0 failed")
