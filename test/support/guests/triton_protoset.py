"""Writes the descriptors of tritonclient's gRPC service into a file, as grpcurl reads them."""

import sys

from google.protobuf import descriptor_pb2
from tritonclient.grpc import service_pb2

files = descriptor_pb2.FileDescriptorSet()


def add(file):
    for dependency in file.dependencies:
        add(dependency)
    if all(file.name != known.name for known in files.file):
        file.CopyToProto(files.file.add())


add(service_pb2.DESCRIPTOR)
open(sys.argv[1], "wb").write(files.SerializeToString())
