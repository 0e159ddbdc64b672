"""confluent_read.py BOOTSTRAP TOPIC PARTITIONS COUNT

Reads the topic from its start through confluent-kafka with an explicit assignment, one partition after the other, and
prints each record as one line of partition, offset, key and value.
"""

import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

bootstrap, topic, partitions, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
consumer = Consumer(
    {
        "bootstrap.servers": bootstrap,
        "group.id": "none: partitions are assigned by hand",
        "enable.auto.commit": False,
        "check.crcs": True,
    }
)
out = sys.stdout.buffer
seen = 0
for partition in range(partitions):
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
    assert low == 0, f"partition {partition} starts at {low}"
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    position = low
    while position < high:
        messages = consumer.consume(min(10_000, high - position), timeout=30)
        assert messages, f"partition {partition} is stuck at {position} of {high}"
        for message in messages:
            assert message.error() is None, message.error()
            place = message.partition(), message.offset()
            assert place == (partition, position), f"{place} instead of {(partition, position)}"
            out.write(b"%d\t%d\t%s\t%s\n" % (*place, message.key(), message.value()))
            position += 1
            seen += 1
assert seen == count, f"{seen} records, not {count}"
consumer.close()
