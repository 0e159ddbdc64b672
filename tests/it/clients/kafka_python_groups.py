"""kafka_python_groups.py BOOTSTRAP STRATEGY

kafka-python in a group: two members share a topic, one leaves, every record is processed once.
"""

import sys
import threading
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import CommitFailedError, RebalanceInProgressError
from kafka.structs import OffsetAndMetadata

import kafka.coordinator.assignors.cooperative_sticky as cooperative
import kafka.coordinator.assignors.range as ranges
import kafka.coordinator.assignors.roundrobin as turns
import kafka.coordinator.assignors.sticky.sticky_assignor as sticky

bootstrap, name = sys.argv[1:]
strategies = {
    "range": ranges.RangePartitionAssignor,
    "roundrobin": turns.RoundRobinPartitionAssignor,
    "sticky": sticky.StickyPartitionAssignor,
    "cooperative-sticky": cooperative.CooperativeStickyAssignor,
}
topic, group, partitions = f"work-{name}", f"group-{name}", 4
KafkaAdminClient(bootstrap_servers=bootstrap).create_topics([NewTopic(topic, partitions, 1)])


def produce(first, count):
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    sent = [producer.send(topic, b"%d" % number, partition=number % partitions) for number in range(first, first + count)]
    producer.flush(60)
    for future in sent:
        future.get(60)


class Member(threading.Thread):
    def __init__(self, seen):
        super().__init__(daemon=True)
        self.seen, self.owns, self.leaving, self.failure = seen, set(), threading.Event(), None
        self.consumer = KafkaConsumer(
            topic,
            bootstrap_servers=bootstrap,
            group_id=group,
            partition_assignment_strategy=[strategies[name]],
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=6000,
            heartbeat_interval_ms=500,
        )
        self.start()

    def run(self):
        try:
            # kafka-python 3.0.12 that is elected leader before it has heard of the topic's partitions assigns none, and stays
            # with that when it does hear of them.
            until([], lambda: self.consumer.partitions_for_topic(topic))
            while not self.leaving.is_set():
                for partition, records in self.consumer.poll(timeout_ms=100).items():
                    self.process(partition, records)
                self.owns = {partition.partition for partition in self.consumer.assignment()}
            self.consumer.close()
        except BaseException as failure:
            self.failure = failure

    def process(self, partition, records):
        """Records count once their commit holds; when a rebalance comes first, whoever owns the partition then reads them again."""
        try:
            self.consumer.commit({partition: offset_after(records[-1].offset)})
            self.seen.extend(int(record.value) for record in records)
        except (CommitFailedError, RebalanceInProgressError):
            if partition in self.consumer.assignment():
                self.consumer.seek(partition, records[0].offset)


def offset_after(offset):
    return OffsetAndMetadata(offset + 1, "a note", -1)


def until(members, done):
    deadline = time.monotonic() + 120
    while not done():
        for member in members:
            if member.failure:
                raise member.failure
        assert time.monotonic() < deadline, [(member.owns, len(member.seen)) for member in members]
        time.sleep(0.02)


seen = []
produce(0, 200)
first = Member(seen)
until([first], lambda: len(seen) == 200)
second = Member(seen)
until([first, second], lambda: len(first.owns) == len(second.owns) == partitions // 2)
assert first.owns | second.owns == set(range(partitions))
produce(200, 200)
until([first, second], lambda: len(seen) == 400)
second.leaving.set()
second.join(60)
until([first], lambda: len(first.owns) == partitions)
produce(400, 40)
until([first], lambda: len(seen) == 440)
first.leaving.set()
first.join(60)
assert not first.failure and not second.failure
assert sorted(seen) == list(range(440)), "every record once"

later = KafkaConsumer(bootstrap_servers=bootstrap, group_id=group)
assert [later.committed(TopicPartition(topic, number)) for number in range(partitions)] == [110] * partitions
assert later.committed(TopicPartition(topic, 0), metadata=True).metadata == "a note"
