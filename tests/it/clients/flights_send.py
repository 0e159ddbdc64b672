"""flights_send.py BOOTSTRAP TOPIC PARTITIONS FILE

Sends the flights through kafka-python and writes to FILE what every reader must find: one line for each record, sorted by
partition and offset, at the offset that was acknowledged. Checks that each key's records got growing offsets in one
partition, and that the partitions have neither gaps nor two records at one offset.
"""

import sys

import flights
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

bootstrap, topic, partitions, path = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]

admin = KafkaAdminClient(bootstrap_servers=bootstrap)
admin.create_topics([NewTopic(name=topic, num_partitions=partitions, replication_factor=1)])
admin.close()

producer = KafkaProducer(
    bootstrap_servers=bootstrap,
    compression_type="lz4",
    batch_size=16384,
    linger_ms=50,
    max_in_flight_requests_per_connection=5,
    acks="all",
)
sent = [(key, value, producer.send(topic, key=key, value=value)) for key, value in flights.records()]
producer.flush()
assert len(sent) == 336_776, len(sent)

places = {}
last = {}
for key, value, future in sent:
    metadata = future.get(timeout=0)
    place = (metadata.partition, metadata.offset)
    assert place not in places, f"two records at {place}"
    places[place] = flights.line(*place, key, value)
    assert key not in last or last[key] < place, f"{key}: {place} after {last[key]}"
    assert key not in last or last[key][0] == place[0], f"{key} moved to partition {place[0]}"
    last[key] = place
producer.close()

expected = dict.fromkeys(range(partitions), 0)
with open(path, "wb") as file:
    for partition, offset in sorted(places):
        assert offset == expected[partition], f"partition {partition}: offset {offset}, not {expected[partition]}"
        expected[partition] += 1
        file.write(places[partition, offset])
print(f"{len(places)} records of {len(last)} keys in {partitions} partitions: {expected}")
