"""A worker for: sluice run QUEUE --exec 'python3 worker.py' --worker

One message a line in, one verdict a line out.
"""
import base64
import json
import sys

verdicts = sys.stdout
sys.stdout = sys.stderr  # whatever prints from now on prints to the log


def handle(message, body):
    order = json.loads(body)
    if order["amount"] <= 0:
        raise ValueError(f"amount is {order['amount']}")
    if order.get("busy") and message["attempt"] == 1:
        return {"verdict": "retry", "after": "10ms", "error": "the gateway is busy"}
    print("charged", order["amount"], "for", message.get("attributes", {}).get("tenant"))
    return {"verdict": "ack"}


for line in sys.stdin:
    message = json.loads(line)
    try:
        body = message["body"] if "body" in message else base64.b64decode(message["body_base64"])
        verdict = handle(message, body)
    except (ValueError, KeyError, TypeError) as e:  # another attempt would not mend it
        verdict = {"verdict": "reject", "error": f"{type(e).__name__}: {e}"}
    except Exception as e:
        verdict = {"verdict": "retry", "error": f"{type(e).__name__}: {e}"}
    print(json.dumps({"id": message["id"], **verdict}), file=verdicts, flush=True)
