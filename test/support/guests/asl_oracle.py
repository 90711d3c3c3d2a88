"""Interprets documents of the Amazon States Language with moto's Step Functions. Reads a list of cases from stdin, writes their outcomes."""

import io
import json
import logging
import sys
import time
import zipfile

import boto3
from moto import mock_aws

logging.disable(logging.CRITICAL)
cases = json.load(sys.stdin)
CONFIG = {"stepfunctions": {"execute_state_machine": True}, "lambda": {"use_docker": False}}


def outcome(described):
    result = {"status": described["status"]}
    if described["status"] == "SUCCEEDED":
        # The output of a Choice state's OutputPath may be text that moto has already read.
        try:
            result["output"] = json.loads(described["output"])
        except ValueError:
            result["output"] = described["output"]
    if described["status"] != "SUCCEEDED":
        result["error"] = described.get("error", "")
        result["cause"] = described.get("cause", "")
    return result


with mock_aws(config=CONFIG):
    aws = {"region_name": "us-east-1"}
    role = boto3.client("iam", **aws).create_role(
        RoleName="workflows", AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[]}'
    )["Role"]["Arn"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("main.py", "")
    # Without Docker moto's functions return what they are given.
    boto3.client("lambda", **aws).create_function(
        FunctionName="echo", Runtime="python3.11", Role=role, Handler="main.main", Code={"ZipFile": code.getvalue()}
    )
    machines = boto3.client("stepfunctions", **aws)
    running = {}
    outcomes = {}
    for index, case in enumerate(cases):
        try:
            machine = machines.create_state_machine(
                name=f"case{index}", definition=json.dumps(case["document"]), roleArn=role
            )["stateMachineArn"]
            running[case["name"]] = machines.start_execution(
                stateMachineArn=machine, name="run", input=json.dumps(case["input"])
            )["executionArn"]
        except Exception as problem:
            outcomes[case["name"]] = {"status": "REFUSED", "cause": str(problem)[:500]}
    deadline = time.time() + 60
    while running and time.time() < deadline:
        for name, arn in list(running.items()):
            described = machines.describe_execution(executionArn=arn)
            if described["status"] != "RUNNING":
                outcomes[name] = outcome(described)
                del running[name]
        time.sleep(0.05)
    for name in running:
        outcomes[name] = {"status": "RUNNING"}

print(json.dumps(outcomes))
