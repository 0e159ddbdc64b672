"""transaction.py BOOTSTRAP TRANSACTIONAL_ID TOPIC commit|abort|hold

Writes three records each to partitions 0 and 1 of TOPIC in a transaction and ends it, or prints "open" and keeps it open
until it is fenced, and prints "fenced" then.
"""

import sys
import time

from confluent_kafka import KafkaException, Producer

bootstrap, transactional_id, topic, how = sys.argv[1:]
producer = Producer(
    {"bootstrap.servers": bootstrap, "transactional.id": transactional_id, "transaction.timeout.ms": 60_000}
)
producer.init_transactions(60)
producer.begin_transaction()


def write():
    for number in range(3):
        for partition in range(2):
            producer.produce(topic, value=b"in a transaction %d" % number, partition=partition)
    assert producer.flush(60) == 0


write()
if how == "commit":
    producer.commit_transaction(60)
elif how == "abort":
    producer.abort_transaction(60)
else:
    print("open", flush=True)
    try:
        while True:
            time.sleep(0.2)
            write()
    except KafkaException as error:
        print("fenced" if error.args[0].fatal() else f"{error}", flush=True)
