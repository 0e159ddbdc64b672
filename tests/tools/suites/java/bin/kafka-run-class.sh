#!/usr/bin/env bash
# As in a Kafka distribution: runs a class of its jars; $CLASSPATH may name more.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$here/log4j2.xml" \
  -cp "${CLASSPATH:+$CLASSPATH:}$here/libs/*" "$@"
