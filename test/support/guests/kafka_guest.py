"""Kafka clients of other languages, driven by tests: reads one JSON command from stdin, writes one JSON answer to stdout.

Keys, values and headers are base64 or null.
"""

import asyncio
import base64
import datetime
import decimal
import io
import json
import sys
import uuid


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


# Avro values travel as JSON; what JSON cannot hold as {"$long": digits}, {"$decimal": digits}, {"$bytes": base64} or {"$micros": digits}.

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
FROM_TAGS = {
    "$long": int,
    "$decimal": decimal.Decimal,
    "$bytes": base64.b64decode,
    "$micros": lambda digits: EPOCH + datetime.timedelta(microseconds=int(digits)),
    "$date": lambda days: (EPOCH + datetime.timedelta(days=int(days))).date(),
    "$uuid": uuid.UUID,
    # A branch of a union that its value does not tell apart.
    "$branch": lambda pair: (pair[0], from_json(pair[1])),
}


def from_json(value):
    if isinstance(value, list):
        return [from_json(one) for one in value]
    if not isinstance(value, dict):
        return value
    for tag, read in FROM_TAGS.items():
        if tag in value:
            return read(value[tag])
    return {name: from_json(one) for name, one in value.items()}


def to_json(value):
    if isinstance(value, bool) or value is None or isinstance(value, (str, float)):
        return value
    if isinstance(value, int):
        return {"$long": str(value)}
    if isinstance(value, decimal.Decimal):
        return {"$decimal": format(value, "f")}
    if isinstance(value, bytes):
        return {"$bytes": text(value)}
    if isinstance(value, datetime.datetime):
        return {"$micros": str((value - EPOCH) // datetime.timedelta(microseconds=1))}
    if isinstance(value, datetime.date):
        return {"$date": (value - EPOCH.date()).days}
    if isinstance(value, uuid.UUID):
        return {"$uuid": str(value)}
    if isinstance(value, tuple):
        return {"$branch": [value[0], to_json(value[1])]}
    if isinstance(value, list):
        return [to_json(one) for one in value]
    return {name: to_json(one) for name, one in value.items()}


def wire(schema_id):
    """What Confluent's serializers write before a value."""
    return b"\x00" + schema_id.to_bytes(4, "big")


def avro_encode(command):
    import fastavro

    schema = fastavro.parse_schema(command["schema"])
    encoded = []
    for value in command["values"]:
        out = io.BytesIO()
        out.write(wire(command["id"]))
        fastavro.schemaless_writer(out, schema, from_json(value))
        encoded.append(text(out.getvalue()))
    return {"encoded": encoded}


def avro_decode(command):
    import fastavro

    schema = fastavro.parse_schema(command["schema"])
    values = []
    for encoded in command["encoded"]:
        data = io.BytesIO(raw(encoded))
        if data.read(5) != wire(command["id"]):
            raise RuntimeError("not the schema registry's wire format")
        value = fastavro.schemaless_reader(data, schema, return_named_type=True, return_named_type_override=True)
        if data.read() != b"":
            raise RuntimeError("bytes after the value")
        values.append(to_json(value))
    return {"values": values}


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
