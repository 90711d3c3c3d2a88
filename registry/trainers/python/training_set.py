"""Reads a training set written by headwater."""

import csv
import hashlib
import json
import sys

import numpy as np

LEADING = ["label_id", "entity_key", "event_time", "label"]
HELD_OUT_SHARE = 0.2


class Rows:
    """Some rows of a training set: `matrix` FP32 [rows, columns], missing as NaN; `labels` float64 [rows]."""

    def __init__(self, matrix, labels):
        self.matrix = matrix
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def part(self, begin, end):
        return Rows(self.matrix[begin:end], self.labels[begin:end])

    def split(self, held_out_share=HELD_OUT_SHARE):
        """Rows by time: the older ones, and the newest share of them."""
        at = int(len(self) * (1 - held_out_share))
        return self.part(0, at), self.part(at, len(self))


class TrainingSet:
    """
    A folder with data.csv (label_id, entity_key, event_time, label, then the features; by time) and manifest.json.

    `inputs` are the columns as a model's signature has them: numbers as they are, categories by their position in alphabetical order.
    """

    def __init__(self, folder, names=None):
        self.manifest = json.loads((folder / "manifest.json").read_text())
        described = self._data_file()
        data = (folder / "data.csv").read_bytes()
        self.sha256 = hashlib.sha256(data).hexdigest()
        if self.sha256 != described["sha256"]:
            sys.exit(f"{folder}/data.csv has changed since its manifest was written: make the training set again")
        self.texts = list(csv.DictReader(data.decode("utf-8").splitlines()))
        expected = LEADING + [column["name"] for column in self.manifest["columns"]]
        if list(self.texts[0]) != expected:
            sys.exit(f"data.csv has columns {list(self.texts[0])}, the manifest says {expected}")
        self.columns = self._chosen(names)
        self.inputs, matrix = self._encode()
        self.rows = Rows(matrix, np.array([float(row["label"]) for row in self.texts]))

    def _data_file(self):
        for file in self.manifest["files"]:
            if file["name"] == "data.csv":
                return file
        sys.exit("the training set has no data.csv: make it with --format csv and without --split-at")

    def _chosen(self, names):
        columns = {column["name"]: column for column in self.manifest["columns"]}
        if names is None:
            return list(columns.values())
        unknown = [name for name in names if name not in columns]
        if unknown:
            sys.exit(f"the training set has no columns {unknown}; it has {list(columns)}")
        return [columns[name] for name in names]

    def _encode(self):
        inputs = []
        matrix = np.full((len(self.texts), len(self.columns)), np.nan, dtype=np.float32)
        for at, column in enumerate(self.columns):
            values = [row[column["name"]] for row in self.texts]
            entry = {"name": column["name"], "type": column["type"], "required": False}
            if column["type"] == "string":
                names = sorted({value for value in values if value != ""})
                entry["categories"] = {value: float(index) for index, value in enumerate(names)}
                entry["unknownCategory"] = -1
                matrix[:, at] = [entry["categories"].get(value, np.nan) for value in values]
            else:
                matrix[:, at] = [float(value) if value != "" else np.nan for value in values]
            inputs.append(entry)
        return inputs, matrix

    def instance(self, row):
        """A row as a caller of the model would send it."""

        def value(column):
            text = self.texts[row][column["name"]]
            if text == "":
                return None
            if column["type"] == "string":
                return text
            if column["type"] == "boolean":
                return text == "1"
            return int(float(text)) if column["type"] == "long" else float(text)

        return {column["name"]: value(column) for column in self.columns}
