"""Invokes an endpoint as boto3's sagemaker-runtime does. Prints a line for each check."""

import json
import sys

import boto3
from botocore.exceptions import ClientError

client = boto3.client("sagemaker-runtime", endpoint_url=sys.argv[1], region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
row = {"amount": 10, "count": 3, "weekend": True, "category": "b"}
answer = client.invoke_endpoint(EndpointName="tiny", Body=json.dumps({"instances": [row]}), ContentType="application/json")
assert answer["InvokedProductionVariant"] == "production", answer
first = json.loads(answer["Body"].read())
assert set(first["predictions"][0]) == {"legitimate", "fraud"}, first
answer = client.invoke_endpoint(EndpointName="tiny", Body="amount,count,weekend,category\n10,3,true,b\n", ContentType="text/csv")
assert json.loads(answer["Body"].read()) == first
for name, body, status in (("nothing", json.dumps({"instances": [row]}), 404), ("tiny", "{}", 400), ("tiny", json.dumps({"instances": [row], "inputs": [row]}), 400)):
    try:
        client.invoke_endpoint(EndpointName=name, Body=body, ContentType="application/json")
        raise AssertionError(f"{name} {body} was not refused")
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status, error.response
print("5 passed, 0 failed")
