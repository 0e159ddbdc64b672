"""confluent_times.py BOOTSTRAP

An idempotent producer with every codec, its delivery reports, and offsets by timestamp.
"""

import sys

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

bootstrap = sys.argv[1]
admin = AdminClient({"bootstrap.servers": bootstrap})
for future in admin.create_topics([NewTopic("times", 1, 1)]).values():
    future.result()

start = 1_700_000_000_000
number = 0
for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
    reports = []
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "compression.type": codec,
            "linger.ms": 20,
        }
    )
    for _ in range(1_000):
        producer.produce(
            "times",
            key=b"%d" % number,
            value=codec.encode() * 20,
            timestamp=start + number * 10,
            headers=[("codec", codec.encode()), ("codec", b"again")],
            on_delivery=lambda error, message: reports.append((error, message.offset())),
        )
        number += 1
    assert producer.flush(60) == 0
    assert reports == [(None, offset) for offset in range(number - 1_000, number)], reports[:3]

consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False})
assert consumer.get_watermark_offsets(TopicPartition("times", 0), timeout=30) == (0, number)


def offset_at(timestamp):
    (found,) = consumer.offsets_for_times([TopicPartition("times", 0, timestamp)], timeout=30)
    assert found.error is None, found.error
    return found.offset


# Exact at the record, also in the middle of a compressed batch.
for wanted in [0, 1, 999, 1_000, 1_234, 2_500, 3_777, 4_999]:
    assert offset_at(start + wanted * 10) == wanted
    assert offset_at(start + wanted * 10 - 9) == wanted
assert offset_at(0) == 0
assert offset_at(start + number * 10) == -1, "the end: no record is that late"

consumer.assign([TopicPartition("times", 0, 2_500)])
message = consumer.poll(30)
assert (message.offset(), message.key(), message.timestamp()[1]) == (2_500, b"2500", start + 25_000)
assert message.headers() == [("codec", b"snappy"), ("codec", b"again")], message.headers()
consumer.close()
