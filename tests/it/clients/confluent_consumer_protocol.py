"""confluent_consumer_protocol.py BOOTSTRAP CASE

librdkafka with group.protocol=consumer (KIP-848). CASE is one of
share      consumers come and go, nobody gives up what it keeps, every record is processed once
static     a static member comes back to its partitions, and a second one of its name is refused
regex      topics that are made later are consumed
migrate    classic consumers are replaced one by one, and back; on each line "ready" the test may kill the broker
"""

import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

bootstrap, case = sys.argv[1:]
admin = AdminClient({"bootstrap.servers": bootstrap})
PARTITIONS = 6


def create(topic, partitions=PARTITIONS):
    for future in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        future.result()


def produce(topic, first, count):
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(first, first + count):
        producer.produce(topic, b"%d" % number, partition=number % PARTITIONS)
    assert producer.flush(120) == 0


class Member:
    def __init__(self, group, topics, protocol="consumer", instance=None):
        self.given, self.taken = [], []
        config = {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "group.protocol": protocol,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "topic.metadata.refresh.interval.ms": 1000,
        }
        if protocol == "classic":
            # Not a sticky one: librdkafka's leave notes of their own in assignments, and neither Kafka nor Frazil turns
            # a group into one of the new protocol whose members would lose them.
            config |= {"partition.assignment.strategy": "range"}
            config |= {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
        if instance:
            config["group.instance.id"] = instance
        self.consumer = Consumer(config)
        self.consumer.subscribe(topics, on_assign=self.on_assign, on_revoke=self.on_revoke)

    def on_assign(self, consumer, new):
        self.given += [(partition.topic, partition.partition) for partition in new]

    def on_revoke(self, consumer, gone):
        self.taken += [(partition.topic, partition.partition) for partition in gone]

    def owns(self):
        return {(partition.topic, partition.partition) for partition in self.consumer.assignment()}

    def poll(self, seen):
        message = self.consumer.poll(0.05)
        if message is None:
            return
        assert message.error() is None, message.error()
        seen.append(int(message.value()))
        # What is processed is committed before anybody else may get the partition.
        self.commit(message)

    def commit(self, message):
        deadline = time.monotonic() + 60
        while True:
            try:
                return self.consumer.commit(message, asynchronous=False)
            except KafkaException as error:
                # The epoch moved on while the commit was on its way, or the coordinator is being replaced.
                assert error.args[0].retriable() or error.args[0].code() in TRANSIENT, error
                assert time.monotonic() < deadline, error
                self.consumer.poll(0)
                time.sleep(0.1)


TRANSIENT = {
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._WAIT_COORD,
}


def until(members, seen, done):
    deadline = time.monotonic() + 180
    while not done():
        assert time.monotonic() < deadline, ([member.owns() for member in members], len(seen))
        for member in members:
            member.poll(seen)


def are_even(members):
    shares = [member.owns() for member in members]
    return sum(map(len, shares)) == len(set().union(*shares)) == PARTITIONS and all(
        len(share) == PARTITIONS // len(members) for share in shares
    )


def share():
    create("shared")
    produce("shared", 0, 300)
    seen = []
    first = Member("share", ["shared"])
    until([first], seen, lambda: len(seen) == 300 and are_even([first]))
    second, third = Member("share", ["shared"]), Member("share", ["shared"])
    members = [first, second, third]
    until(members, seen, lambda: are_even(members))
    assert len(first.taken) == 4, "it gives up what the others get, and nothing else"
    produce("shared", 300, 300)
    until(members, seen, lambda: len(seen) == 600)
    third.consumer.close()
    until([first, second], seen, lambda: are_even([first, second]))
    produce("shared", 600, 60)
    until([first, second], seen, lambda: len(seen) == 660)
    assert sorted(seen) == list(range(660)), "every record once"
    places = [TopicPartition("shared", number) for number in range(PARTITIONS)]
    committed = first.consumer.committed(places, timeout=30)
    assert [at.offset for at in committed] == [110] * PARTITIONS, committed
    first.consumer.close()
    second.consumer.close()
    listed = admin.list_consumer_groups().result().valid
    assert [str(found.state) for found in listed if found.group_id == "share"] == ["ConsumerGroupState.EMPTY"], listed


def static():
    create("fixed")
    seen = []
    one, two = Member("static", ["fixed"], instance="one"), Member("static", ["fixed"], instance="two")
    until([one, two], seen, lambda: are_even([one, two]))
    before, calm = two.owns(), len(one.given) + len(one.taken)
    two.consumer.close()
    back = Member("static", ["fixed"], instance="two")
    until([one, back], seen, lambda: back.owns() == before)
    for _ in range(40):
        one.poll(seen)
        back.poll(seen)
    assert len(one.given) + len(one.taken) == calm, "nobody else noticed"
    twin = Member("static", ["fixed"], instance="two")
    deadline = time.monotonic() + 60
    refused = False
    while not refused:
        assert time.monotonic() < deadline, "the name is taken"
        one.poll(seen)
        back.poll(seen)
        try:
            message = twin.consumer.poll(0.05)
            refused = message is not None and message.error() is not None
        except KafkaException:
            refused = True
    assert back.owns() == before
    for member in (one, back):
        member.consumer.close()


def regex():
    create("logs-a")
    produce("logs-a", 0, 60)
    seen = []
    members = [Member("regex", ["^logs-.*"]), Member("regex", ["^logs-.*"])]
    until(members, seen, lambda: len(seen) == 60)
    create("logs-b")
    create("other")
    produce("logs-b", 60, 60)
    until(members, seen, lambda: len(seen) == 120)
    assert {topic for member in members for topic, _ in member.owns()} == {"logs-a", "logs-b"}
    for member in members:
        member.consumer.close()


def migrate():
    create("rolling")
    seen, count = [], 0
    members = [Member("migrate", ["rolling"], "classic"), Member("migrate", ["rolling"], "classic")]

    def settle():
        nonlocal count
        until(members, seen, lambda: are_even(members))
        produce("rolling", count, 120)
        count += 120
        until(members, seen, lambda: len(set(seen)) == count)
        print("ready", flush=True)

    settle()
    for protocol in ("consumer", "classic"):
        for number in range(2):
            gone = members[number]
            members[number] = Member("migrate", ["rolling"], protocol)
            until([*members, gone], seen, lambda: len(members[number].owns()) > 0)
            gone.consumer.close()
            settle()
    assert set(seen) == set(range(count)), "every record"
    assert len(seen) == count, f"{len(seen) - count} records were processed twice"
    for member in members:
        member.consumer.close()


{"share": share, "static": static, "regex": regex, "migrate": migrate}[case]()
