"""confluent_survive.py BOOTSTRAP

An idempotent producer that goes on while its broker is killed and started again. Prints "1/4", "2/4" and "3/4" when so
much is acknowledged. At the end the topic must hold each record once and in order, where the reports said.
"""

import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

bootstrap = sys.argv[1]
count = 20_000
admin = AdminClient({"bootstrap.servers": bootstrap})
for future in admin.create_topics([NewTopic("survivors", 1, 1)]).values():
    future.result()

producer = Producer(
    {
        "bootstrap.servers": bootstrap,
        "enable.idempotence": True,
        "linger.ms": 5,
        "batch.num.messages": 50,
        "max.in.flight": 5,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 200,
    }
)
offsets = {}


def report(error, message):
    assert error is None, error
    offsets[int(message.value())] = message.offset()


for number in range(count):
    # At most 500 records wait for their reports, so that each kill finds batches in flight.
    while number - len(offsets) > 500:
        producer.poll(0.01)
    producer.produce("survivors", value=b"%d" % number, on_delivery=report)
    if number % (count // 4) == 0 and number > 0:
        print(f"{number * 4 // count}/4", flush=True)
assert producer.flush(120) == 0
assert len(offsets) == count, len(offsets)

consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False})
assert consumer.get_watermark_offsets(TopicPartition("survivors", 0), timeout=30) == (0, count)
consumer.assign([TopicPartition("survivors", 0, OFFSET_BEGINNING)])
position = 0
while position < count:
    messages = consumer.consume(min(1_000, count - position), timeout=30)
    assert messages, f"stuck at {position}"
    for message in messages:
        assert message.error() is None, message.error()
        assert (message.offset(), int(message.value())) == (position, position), (message.offset(), message.value())
        assert offsets[position] == position, f"record {position} was reported at {offsets[position]}"
        position += 1
consumer.close()
