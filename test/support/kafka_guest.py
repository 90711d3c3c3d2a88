"""Kafka clients of other languages, driven by tests: reads one JSON command from stdin, writes one JSON answer to stdout.

Keys, values and headers are base64 or null.
"""

import asyncio
import base64
import io
import json
import sys


def raw(text):
    return None if text is None else base64.b64decode(text)


def text(data):
    return None if data is None else base64.b64encode(data).decode()


def headers_of(record):
    return [(name, raw(value)) for name, value in record.get("headers", [])]


def confluent_produce(command):
    from confluent_kafka import Producer

    config = {
        "bootstrap.servers": command["brokers"],
        "compression.type": command.get("codec", "none"),
        "linger.ms": 50,
        "partitioner": "murmur2_random",
    }
    transactional = command.get("transactional_id")
    if transactional is not None:
        config["transactional.id"] = transactional
    producer = Producer(config)
    placed = []
    failures = []

    def delivered(error, message):
        if error is not None:
            failures.append(str(error))
        else:
            placed.append([text(message.key()), message.partition(), message.offset()])

    if transactional is not None:
        producer.init_transactions(30)
        producer.begin_transaction()
    for record in command["records"]:
        producer.produce(
            command["topic"],
            key=raw(record.get("key")),
            value=raw(record.get("value")),
            headers=headers_of(record),
            on_delivery=delivered,
        )
    producer.flush(30)
    end = command.get("end", "commit")
    if transactional is not None and end == "commit":
        producer.commit_transaction(30)
    elif transactional is not None and end == "abort":
        producer.abort_transaction(30)
    if end == "leave_open":
        # The transaction stays as it is when the process is gone.
        print(json.dumps({"placed": placed, "failures": failures}), flush=True)
        import os

        os._exit(0)
    return {"placed": placed, "failures": failures}


def confluent_consume(command):
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": command["brokers"],
            "group.id": command["group"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([command["topic"]])
    seen = []
    idle = 0
    while len(seen) < command["count"] and idle < 100:
        message = consumer.poll(0.2)
        if message is None:
            idle += 1
            continue
        if message.error() is not None:
            raise RuntimeError(str(message.error()))
        seen.append(
            {
                "key": text(message.key()),
                "value": text(message.value()),
                "headers": [[name, text(value)] for name, value in (message.headers() or [])],
                "partition": message.partition(),
                "offset": message.offset(),
            }
        )
    if seen:
        consumer.commit(asynchronous=False)
    committed = consumer.committed([TopicPartition(command["topic"], p) for p in range(command.get("partitions", 1))], 10)
    consumer.close()
    return {"records": seen, "committed": [p.offset for p in committed]}


async def aiokafka_produce(command):
    from aiokafka import AIOKafkaProducer

    codec = command.get("codec", "none")
    producer = AIOKafkaProducer(
        bootstrap_servers=command["brokers"],
        compression_type=None if codec == "none" else codec,
        linger_ms=50,
        enable_idempotence=True,
    )
    await producer.start()
    placed = []
    try:
        sent = [
            (
                record.get("key"),
                await producer.send(
                    command["topic"],
                    key=raw(record.get("key")),
                    value=raw(record.get("value")),
                    headers=headers_of(record),
                ),
            )
            for record in command["records"]
        ]
        for key, future in sent:
            place = await future
            placed.append([key, place.partition, place.offset])
    finally:
        await producer.stop()
    return {"placed": placed, "failures": []}


async def aiokafka_consume(command):
    from aiokafka import AIOKafkaConsumer

    consumer = AIOKafkaConsumer(
        command["topic"],
        bootstrap_servers=command["brokers"],
        group_id=command["group"],
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    await consumer.start()
    seen = []
    try:
        for _ in range(60):
            if len(seen) >= command["count"]:
                break
            batches = await consumer.getmany(timeout_ms=500)
            for records in batches.values():
                for message in records:
                    seen.append(
                        {
                            "key": text(message.key),
                            "value": text(message.value),
                            "headers": [[name, text(value)] for name, value in message.headers],
                            "partition": message.partition,
                            "offset": message.offset,
                        }
                    )
        if seen:
            await consumer.commit()
    finally:
        await consumer.stop()
    return {"records": seen, "committed": []}


def avro_encode(command):
    import fastavro

    schema = fastavro.parse_schema(command["schema"])
    out = io.BytesIO()
    value = command["value"]
    for name in command.get("bytes_fields", []):
        value[name] = base64.b64decode(value[name])
    for name in command.get("decimal_fields", []):
        from decimal import Decimal

        value[name] = Decimal(value[name])
    for name in command.get("long_fields", []):
        value[name] = int(value[name])
    fastavro.schemaless_writer(out, schema, value)
    return {"bytes": text(out.getvalue())}


def avro_decode(command):
    import fastavro

    schema = fastavro.parse_schema(command["schema"])
    value = fastavro.schemaless_reader(io.BytesIO(raw(command["bytes"])), schema)
    return {"value": {name: str(field) for name, field in value.items()}}


COMMANDS = {
    "confluent.produce": confluent_produce,
    "confluent.consume": confluent_consume,
    "aiokafka.produce": lambda command: asyncio.run(aiokafka_produce(command)),
    "aiokafka.consume": lambda command: asyncio.run(aiokafka_consume(command)),
    "avro.encode": avro_encode,
    "avro.decode": avro_decode,
}

if __name__ == "__main__":
    request = json.loads(sys.stdin.read())
    print(json.dumps(COMMANDS[request["do"]](request)))
