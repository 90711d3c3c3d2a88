"""Talks to the serving tier with tritonclient over gRPC: infer, async, stream, metadata, statistics, repository, health and error paths. Prints a line for each check."""

import sys
import threading

import grpc
import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

url, key = sys.argv[1], sys.argv[2]
headers = {"x-api-key": key}
client = triton.InferenceServerClient(url=url)
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
        check(f"{what} is refused with {status}: {error.message()[:80]}", status in str(error.status()) and text in error.message())
        return
    raise AssertionError(f"{what} was not refused")


def given(name, array, datatype):
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


check("live", client.is_server_live() and client.is_server_ready())
rows = np.array([[10, 3, 1, 0.7], [2, 1, 0, 0.1]], dtype=np.float32)
refused("a call without a key", "UNAUTHENTICATED", "", lambda: client.infer("tiny", [given("features", rows, "FP32")]))
refused("a call with another key", "UNAUTHENTICATED", "", lambda: client.get_model_metadata("tiny", headers={"x-api-key": "wrong"}))
check("model ready", client.is_model_ready("tiny", headers=headers) and not client.is_model_ready("nothing", headers=headers))
check("server metadata", client.get_server_metadata(headers=headers).name == "headwater")
meta = client.get_model_metadata("tiny", headers=headers)
check("model metadata is the graph's", [(t.name, t.datatype, list(t.shape)) for t in meta.inputs] == [("features", "FP32", [-1, 4])])
check("model configuration", client.get_model_config("tiny", headers=headers, as_json=True)["config"]["input"][0]["data_type"] == "TYPE_FP32")
first = client.infer("tiny", [given("features", rows, "FP32")], request_id="call-1", headers=headers)
check("infer", first.as_numpy("probabilities").shape == (2, 2) and first.get_response().id == "call-1")
named = client.infer("tiny", [given("features", rows, "FP32")], outputs=[triton.InferRequestedOutput("prediction")], model_version="1", headers=headers)
check("requested outputs", named.as_numpy("prediction")[0] in (b"fraud", b"legitimate") and len(named.get_response().outputs) == 1)
results, done = [], threading.Event()


def finished(result, error):
    results.append(error or result)
    if len(results) == 8:
        done.set()


for i in range(8):
    client.async_infer("tiny", [given("features", rows + i, "FP32")], callback=finished, headers=headers)
check("async infer", done.wait(20) and all(r.as_numpy("probabilities").shape == (2, 2) for r in results))
results.clear()
done.clear()
client.start_stream(callback=finished, headers=headers)
for i in range(8):
    client.async_stream_infer("tiny" if i != 3 else "nothing", [given("features", rows + i, "FP32")], request_id=str(i + 1))
check("stream", done.wait(20) and sum(isinstance(r, InferenceServerException) for r in results) == 1)
client.stop_stream()

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
    back = client.infer(model, [given("x", value, datatype)], headers=headers).as_numpy("y")
    same = [v.decode() for v in back.reshape(-1)] == list(value.reshape(-1)) if dtype is np.object_ else back.tobytes() == value.tobytes()
    check(f"{datatype} comes back bit by bit", same and back.shape == value.shape)

# Contents of their own fields, as clients without raw contents send them.
pb = triton.service_pb2
stub = triton.service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(url))
metadata = [("x-api-key", key)]
fields = {"INT8": ("int_contents", [-128, 127]), "INT64": ("int64_contents", [-(2**63), 2**63 - 1]), "UINT64": ("uint64_contents", [0, 2**64 - 1]), "FP32": ("fp32_contents", [1.5, -2.0]),
          "FP64": ("fp64_contents", [0.1, 1e300]), "BOOL": ("bool_contents", [True, False]), "BYTES": ("bytes_contents", [b"a", b"bc"])}  # fmt: skip
models = {"INT8": "int8", "INT64": "int64", "UINT64": "uint64", "FP32": "float32", "FP64": "float64", "BOOL": "bool", "BYTES": "object"}
for datatype, (field, values) in fields.items():
    request = pb.ModelInferRequest(model_name=f"identity_{models[datatype]}")
    tensor = request.inputs.add(name="x", datatype=datatype, shape=[1, 2])
    getattr(tensor.contents, field).extend(values)
    answer = triton.InferResult(stub.ModelInfer(request, metadata=metadata)).as_numpy("y").reshape(-1).tolist()
    check(f"{datatype} in {field}", answer == values)

refused("an unknown model", "NOT_FOUND", "nothing", lambda: client.infer("nothing", [given("features", rows, "FP32")], headers=headers))
refused("an unknown version", "NOT_FOUND", "version 9", lambda: client.infer("tiny", [given("features", rows, "FP32")], model_version="9", headers=headers))
refused("a wrong datatype", "INVALID_ARGUMENT", "not FP32", lambda: client.infer("tiny", [given("features", rows.astype(np.float64), "FP64")], headers=headers))
refused("a wrong shape", "INVALID_ARGUMENT", "not [N, 4]", lambda: client.infer("tiny", [given("features", rows[:, :3], "FP32")], headers=headers))
refused("an unknown output", "INVALID_ARGUMENT", "no output nothing", lambda: client.infer("tiny", [given("features", rows, "FP32")], outputs=[triton.InferRequestedOutput("nothing")], headers=headers))
refused("a message that is too large", "RESOURCE_EXHAUSTED", "", lambda: client.infer("tiny", [given("features", np.zeros((400_000, 4), np.float32), "FP32")], headers=headers))
refused("unloading what the configuration has", "FAILED_PRECONDITION", "serving.models", lambda: client.unload_model("tiny", headers=headers))

# What is not supported is refused by name, not answered without it.
shared = triton.InferInput("features", [2, 4], "FP32")
shared.set_shared_memory("region", 32)
refused("a tensor in shared memory", "INVALID_ARGUMENT", "shared_memory_region", lambda: client.infer("tiny", [shared], headers=headers))
refused("registering shared memory", "UNIMPLEMENTED", "", lambda: client.register_system_shared_memory("region", "/none", 32, headers=headers))
refused("a sequence", "INVALID_ARGUMENT", "sequence_id", lambda: client.infer("tiny", [given("features", rows, "FP32")], sequence_id=7, sequence_start=True, headers=headers))
refused("a batch without rows", "INVALID_ARGUMENT", "above 0", lambda: client.infer("tiny", [given("features", rows[:0], "FP32")], headers=headers))
half = triton.InferInput("x", [1, 2], "BF16")
half.set_data_from_numpy(np.array([[1.5, 2]], dtype=np.float32))
refused("BF16", "INVALID_ARGUMENT", "BF16", lambda: client.infer("identity_float32", [half], headers=headers))
empty = np.array([["", ""]], dtype=np.object_)
check("empty strings", client.infer("identity_object", [given("x", empty, "BYTES")], headers=headers).as_numpy("y").tolist() == [[b"", b""]])
for codec in ("gzip", "deflate"):
    packed = client.infer("tiny", [given("features", rows, "FP32")], headers=headers, compression_algorithm=codec)
    check(f"call as {codec}", np.array_equal(first.as_numpy("probabilities"), packed.as_numpy("probabilities")))
timed = client.infer("tiny", [given("features", rows, "FP32")], headers=headers, priority=1, timeout=5_000_000, client_timeout=20, parameters={"entity_id": "e3"})
check("priority, timeout, a deadline and parameters of the caller", timed.as_numpy("probabilities").shape == (2, 2))

client.load_model("identity_int8", headers=headers)
check("repository index", any(m.name == "identity_int8" and m.state == "READY" for m in client.get_model_repository_index(headers=headers).models))
client.unload_model("identity_int8", headers=headers)
stats = client.get_inference_statistics("tiny", headers=headers).model_stats[0]
check("statistics", stats.inference_count >= 16 and stats.inference_stats.success.count >= 8)


def health(service):
    call = grpc.insecure_channel(url).unary_unary("/grpc.health.v1.Health/Check", request_serializer=lambda v: v, response_deserializer=lambda v: v)
    return call(b"" if service == "" else b"\x0a" + bytes([len(service)]) + service.encode())


check("health service", health("") == b"\x08\x01" and health("inference.GRPCInferenceService") == b"\x08\x01")
print(f"{checks} passed, 0 failed")
