//! Kafka frames, versions, batch v2 headers and CRC; bytes in, values out, no I/O
