"""Talks to the server that the environment names, with boto3 as it is."""

import json

import boto3
from botocore.config import Config

sqs = boto3.client("sqs", config=Config(retries={"total_max_attempts": 1}))


def failure(call, **arguments):
    """Returns the code of the error that the call ends in."""
    try:
        call(**arguments)
    except sqs.exceptions.ClientError as e:
        return type(e).__name__ + " " + e.response["Error"]["Code"]
    raise AssertionError("no error")


dlq = sqs.create_queue(QueueName="dlq")["QueueUrl"]
dlq_arn = sqs.get_queue_attributes(QueueUrl=dlq, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
policy = json.dumps({"deadLetterTargetArn": dlq_arn, "maxReceiveCount": "1"})
url = sqs.create_queue(
    QueueName="orders", Attributes={"RedrivePolicy": policy, "VisibilityTimeout": "0"}, tags={"team": "a"}
)["QueueUrl"]
assert sqs.create_queue(QueueName="orders", Attributes={"VisibilityTimeout": "0"})["QueueUrl"] == url
assert sqs.get_queue_url(QueueName="orders")["QueueUrl"] == url
assert sqs.list_queues(QueueNamePrefix="ord")["QueueUrls"] == [url]
assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "a"}
assert sqs.list_dead_letter_source_queues(QueueUrl=dlq)["queueUrls"] == [url]

body = 'größe "🚚" \\ \n\t'
sent = sqs.send_message(
    QueueUrl=url,
    MessageBody=body,
    MessageAttributes={
        "text": {"DataType": "String", "StringValue": "é"},
        "number": {"DataType": "Number", "StringValue": "4.2"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    },
    MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"}},
)
got = sqs.receive_message(
    QueueUrl=url, WaitTimeSeconds=1, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"]
)["Messages"][0]
assert got["Body"] == body
assert got["MessageId"] == sent["MessageId"]
assert got["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
assert got["MessageAttributes"]["bytes"]["BinaryValue"] == b"\x00\xff"
assert got["Attributes"]["AWSTraceHeader"] == "Root=1"
assert "Messages" not in sqs.receive_message(QueueUrl=url), "it goes to the dead-letter queue"
assert sqs.start_message_move_task(SourceArn=dlq_arn)["TaskHandle"]
while True:
    task = sqs.list_message_move_tasks(SourceArn=dlq_arn)["Results"][0]
    if task["Status"] != "RUNNING":
        break
assert task["Status"] == "COMPLETED" and task["ApproximateNumberOfMessagesMoved"] == 1, task
moved = sqs.receive_message(QueueUrl=url, VisibilityTimeout=30)["Messages"][0]
sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=moved["ReceiptHandle"], VisibilityTimeout=60)
sqs.delete_message(QueueUrl=url, ReceiptHandle=moved["ReceiptHandle"])

batch = sqs.send_message_batch(
    QueueUrl=url, Entries=[{"Id": "good", "MessageBody": "x"}, {"Id": "bad", "MessageBody": "\x01"}]
)
assert [e["Id"] for e in batch["Successful"]] == ["good"]
assert batch["Failed"][0]["Code"] == "InvalidMessageContents" and batch["Failed"][0]["SenderFault"]

codes = {
    "missing": failure(sqs.receive_message, QueueUrl=url + "x"),
    "exists": failure(sqs.create_queue, QueueName="orders", Attributes={"VisibilityTimeout": "1"}),
    "content": failure(sqs.send_message, QueueUrl=url, MessageBody="\x01"),
    "surrogate": failure(sqs.send_message, QueueUrl=url, MessageBody="\ud800"),
    "empty": failure(sqs.send_message_batch, QueueUrl=url, Entries=[]),
    "receipt": failure(sqs.delete_message, QueueUrl=url, ReceiptHandle="x"),
    "wait": failure(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=21),
    "task": failure(sqs.start_message_move_task, SourceArn=dlq_arn + "x"),
}
sqs.purge_queue(QueueUrl=url)
codes["purge"] = failure(sqs.purge_queue, QueueUrl=url)

fifo = sqs.create_queue(QueueName="o.fifo", Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"})["QueueUrl"]
first = sqs.send_message(QueueUrl=fifo, MessageBody="x", MessageGroupId="g")
again = sqs.send_message(QueueUrl=fifo, MessageBody="x", MessageGroupId="g")
assert first["SequenceNumber"] == again["SequenceNumber"]
sqs.delete_queue(QueueUrl=fifo)
print(json.dumps(codes))
