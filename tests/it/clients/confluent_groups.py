"""confluent_groups.py BOOTSTRAP STRATEGY

librdkafka in a group: consumers come and go, every record is processed once, and what was committed is where the next
one starts. With cooperative-sticky nobody gives up what it keeps.
"""

import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

bootstrap, strategy = sys.argv[1:]
topic, group, partitions = f"work-{strategy}", f"group-{strategy}", 6
admin = AdminClient({"bootstrap.servers": bootstrap})
for future in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
    future.result()


def produce(first, count):
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(first, first + count):
        producer.produce(topic, b"%d" % number, partition=number % partitions)
    assert producer.flush(60) == 0


class Member:
    def __init__(self):
        self.revoked = []
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "partition.assignment.strategy": strategy,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 500,
            }
        )
        self.consumer.subscribe([topic], on_revoke=self.on_revoke)

    def on_revoke(self, consumer, gone):
        self.revoked += [partition.partition for partition in gone]

    def owns(self):
        return {partition.partition for partition in self.consumer.assignment()}

    def poll(self, seen):
        message = self.consumer.poll(0.05)
        if message is None:
            return
        assert message.error() is None, message.error()
        seen.append(int(message.value()))
        # What is processed is committed before anybody else may get the partition.
        self.consumer.commit(message, asynchronous=False)


def until(members, seen, done):
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline, ([member.owns() for member in members], len(seen))
        for member in members:
            member.poll(seen)


produce(0, 300)
seen = []
first = Member()
until([first], seen, lambda: len(seen) == 300 and len(first.owns()) == partitions)
second = Member()
until([first, second], seen, lambda: len(first.owns()) == len(second.owns()) == partitions // 2)
assert first.owns() | second.owns() == set(range(partitions))
if strategy == "cooperative-sticky":
    assert len(first.revoked) == partitions // 2, first.revoked
produce(300, 300)
until([first, second], seen, lambda: len(seen) == 600)
second.consumer.close()
until([first], seen, lambda: len(first.owns()) == partitions)
produce(600, 60)
until([first], seen, lambda: len(seen) == 660)
assert sorted(seen) == list(range(660)), "every record once"
committed = first.consumer.committed([TopicPartition(topic, number) for number in range(partitions)], timeout=30)
assert [at.offset for at in committed] == [110] * partitions, committed
first.consumer.close()

listed = admin.list_consumer_groups().result().valid
assert [str(found.state) for found in listed if found.group_id == group] == ["ConsumerGroupState.EMPTY"], listed
