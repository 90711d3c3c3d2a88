"""A model behind FastAPI and onnxruntime, as its users write it: validated bodies, one worker, uvloop, no access log.

Usage: fastapi_onnx.py MODEL.onnx COLUMNS.json PORT
"""

import json
import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from fastapi.responses import ORJSONResponse
from pydantic import BaseModel

model_file, columns_file, port = sys.argv[1:]
columns = json.load(open(columns_file))
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(model_file, options, providers=["CPUExecutionProvider"])
app = FastAPI(default_response_class=ORJSONResponse)


class PredictRequest(BaseModel):
    features: dict[str, float]
    return_probabilities: bool = False


class BatchRequest(BaseModel):
    instances: list[dict[str, float]]
    return_probabilities: bool = False


def infer(rows):
    matrix = np.array([[row[name] for name in columns] for row in rows], dtype=np.float32)
    return session.run(["probabilities"], {"features": matrix})[0]


@app.post("/predict")
async def predict(request: PredictRequest):
    probabilities = infer([request.features])[0]
    answer = {"prediction": "bad" if probabilities[1] >= 0.5 else "good", "model_version": 1}
    if request.return_probabilities:
        answer["probabilities"] = {"good": float(probabilities[0]), "bad": float(probabilities[1])}
    return answer


@app.post("/predict/batch")
async def predict_batch(request: BatchRequest):
    probabilities = infer(request.instances)
    return {"predictions": ["bad" if p >= 0.5 else "good" for p in probabilities[:, 1]], "count": len(probabilities)}


@app.get("/health")
async def health():
    return {"status": "healthy"}


uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)
