"""Runs one of AWS's rotation functions outside Lambda: an event a line on standard input, an answer a line on
descriptor 3. The twin of node.mjs.

The functions name Lambda's own file of authorities, which is replaced by DATABASE_CA_FILE. And they take MySQL 9 for a
version before 8: where SHOWN_MYSQL_VERSION is set, it is what they are told of the server's version. Nothing else is.
"""
import json
import os
import sys
import time

answers = os.fdopen(3, "w", buffering=1)
sys.path.insert(0, sys.argv[1])
import lambda_function  # noqa: E402

authorities = os.environ["DATABASE_CA_FILE"]


def replace_authorities(driver, argument, value):
    connect = driver.connect

    def connect_with_authorities(*args, **options):
        if options.get(argument):
            options[argument] = value
        return connect(*args, **options)

    driver.connect = connect_with_authorities


if "pgdb" in sys.modules:
    replace_authorities(sys.modules["pgdb"], "sslrootcert", authorities)
if "pymysql" in sys.modules:
    replace_authorities(sys.modules["pymysql"], "ssl", {"ca": authorities})
    if "SHOWN_MYSQL_VERSION" in os.environ:
        cursor = sys.modules["pymysql"].cursors.Cursor
        execute = cursor.execute
        shown = f"SELECT '{os.environ['SHOWN_MYSQL_VERSION']}'"
        cursor.execute = lambda self, query, args=None: execute(
            self, shown if query == "SELECT VERSION()" else query, args
        )


def answer(value):
    answers.write(json.dumps(value) + "\n")


answer({"ready": True})
for line in sys.stdin:
    began_at = time.perf_counter()
    outcome = {"ok": True}
    try:
        lambda_function.lambda_handler(json.loads(line), None)
    except Exception as error:
        outcome = {"ok": False, "error": f"{type(error).__name__}: {error}"}
    answer({**outcome, "ms": (time.perf_counter() - began_at) * 1000})
