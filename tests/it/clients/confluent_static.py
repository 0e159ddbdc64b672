"""confluent_static.py BOOTSTRAP

Static members: one that comes back within its session gets its partitions without a rebalance, and two of one name fence
each other.
"""

import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

bootstrap = sys.argv[1]
admin = AdminClient({"bootstrap.servers": bootstrap})
for future in admin.create_topics([NewTopic("static", 4, 1)]).values():
    future.result()
fatal = []


class Static:
    def __init__(self, instance):
        self.events = []
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "static",
                "group.instance.id": instance,
                "session.timeout.ms": 30000,
                "heartbeat.interval.ms": 500,
                "error_cb": fatal.append,
            }
        )
        self.consumer.subscribe(
            ["static"],
            on_assign=lambda _, new: self.events.append(("assigned", sorted(p.partition for p in new))),
            on_revoke=lambda _, gone: self.events.append(("revoked", sorted(p.partition for p in gone))),
        )

    def owns(self):
        return sorted(partition.partition for partition in self.consumer.assignment())


def until(members, done):
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, [member.owns() for member in members]
        for member in members:
            member.consumer.poll(0.05)


one, two = Static("one"), Static("two")
until([one, two], lambda: len(one.owns()) == len(two.owns()) == 2)
before, calm = two.owns(), len(one.events)
two.consumer.close()
back = Static("two")
until([one, back], lambda: back.owns() == before)
for _ in range(40):
    one.consumer.poll(0.05)
    back.consumer.poll(0.05)
assert len(one.events) == calm, one.events



def is_fenced(error):
    return error is not None and (error.fatal() or error.code() in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL))


twin = Static("two")
deadline = time.monotonic() + 60
fenced = False
while not fenced:
    assert time.monotonic() < deadline, ("one of the twins has to be fenced", fatal)
    for member in (one, back, twin):
        try:
            message = member.consumer.poll(0.05)
            fenced |= message is not None and is_fenced(message.error())
        except KafkaException as error:
            fenced |= is_fenced(error.args[0])
    fenced |= any(is_fenced(error) for error in fatal)
for member in (one, twin):
    member.consumer.close()
