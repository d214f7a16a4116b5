// Package sqstest is an SQS server in the process of a test, as httptest is for
// HTTP and pstest is for Pub/Sub. It speaks SQS's AWS JSON 1.0 protocol, so the
// clients are the real ones, unmodified: aws-sdk-go-v2, boto3, and every other
// SDK of the last years.
//
//	srv, err := sqstest.NewServer(nil) // or New, with no socket
//	defer srv.Close()
//	client := sqs.New(sqs.Options{
//		BaseEndpoint: aws.String(srv.URL()),
//		Region:       "us-east-1",
//		Credentials:  credentials.NewStaticCredentialsProvider("any", "thing", ""),
//	})
//
// Tests that live in a testing/synctest bubble use [New] and give the SDK
// [Server.HTTPClient], which calls the server on the caller's goroutine.
// [Server.Inject] makes requests fail, [Server.SetDown] cuts the line,
// [ManualClock] moves the time, [Server.Count] counts requests.
//
// # Simulated behavior
//
//   - Queues: CreateQueue (idempotent; QueueAlreadyExists if an attribute that is
//     given differs; names; tags; optionally the 60 seconds after a deletion),
//     DeleteQueue, GetQueueUrl, ListQueues with prefix and pages,
//     Get/SetQueueAttributes with all attributes, their ranges and initial values,
//     PurgeQueue once in 60 seconds, TagQueue, UntagQueue, ListQueueTags,
//     AddPermission and RemovePermission (which edit the Policy).
//   - Sending: SendMessage and SendMessageBatch, with delays, typed attributes,
//     the X-Ray trace header, all checksums, and the limits: 1 MiB for a message
//     and for a batch, MaximumMessageSize, 10 attributes, the characters of bodies,
//     attribute names, types and values.
//   - Receiving: ReceiveMessage with short and long polls, all system attributes,
//     attribute filters with prefixes, and the limit of 120,000 in flight (OverLimit
//     for short polls of standard queues, silence otherwise).
//   - Settling: DeleteMessage, ChangeMessageVisibility and their batches. A lease
//     is set from now, not added to, and ends twelve hours after the receive at the
//     latest.
//   - FIFO queues: order and blocking within a group, the deduplication window of
//     five minutes by ID, content, queue or group, sequence numbers,
//     ReceiveRequestAttemptId, no delay by message. Group IDs on standard queues
//     (fair queues) are kept and returned, and do not order messages.
//   - Dead letters: RedrivePolicy (the target must exist, be of the same kind and
//     allow it), RedriveAllowPolicy, ListDeadLetterSourceQueues,
//     DeadLetterQueueSourceArn; a message moves at the receive after its last one,
//     and keeps the time when it was sent on standard queues.
//   - Move tasks: Start, Cancel and ListMessageMoveTasks; one running task a source,
//     1 to 500 messages a second; the source must be a dead-letter queue, and
//     without a destination a message that was sent to it directly fails the task,
//     with the reason that SQS gives.
//   - Errors: the code, __type, x-amzn-query-error header and HTTP status of SQS, so
//     that the typed errors of SDKs work; partial failures of batches. Texts are
//     SQS's if they are known.
//
// # Where SQS is lax
//
// A program that is correct only on a stricter server fails on AWS. So sqstest is as
// lax as SQS. Each point has its source: a test of LocalStack that its
// authors run against AWS (L, with the test's name), the developer guide or the
// API reference (G), or a test of another project that runs against AWS (B:
// ballerinax/aws.sqs).
//
//   - On a standard queue any receipt of a message changes its visibility: after its
//     own lease has ended (L: change_message_visibility_after_visibility_timeout_expiration
//     proves the success; that the message is hidden again is moto's reading), and
//     while a newer receipt holds the message (L:
//     terminate_visibility_timeout_after_receive). A success proves nothing.
//   - Deleting with a receipt that is not the newest succeeds on a standard queue
//     and deletes nothing (G: DeleteMessage). On a FIFO queue it is an error from the
//     end of the lease on (L: fifo_delete_message_with_expired_receipt_handle).
//     Deleting what is gone succeeds on a standard queue (L:
//     delete_message_with_deleted_receipt_handle), and here on a FIFO queue too: a
//     program cannot count on an error.
//   - In a FIFO queue only what is behind a hidden message waits: the first of a
//     group comes again as soon as it is visible, though later ones are in flight
//     (L: fifo_message_group_visibility_after_terminate_visibility_timeout, and
//     _after_change_message_visibility), and a later one can be deleted first. Two of
//     one group can be in hand at the same time.
//   - ApproximateReceiveCount goes on in the dead-letter queue (L:
//     dead_letter_queue_message_attributes), and so does the time of the first
//     receive (elasticmq issue 386). Only receives from a
//     queue count toward its own maxReceiveCount (localstack issue 5225).
//   - A FIFO dead-letter queue replaces the deduplication ID by the message ID (G).
//   - A move task makes new messages: with a new message ID and enqueue time, and
//     the count begun anew (G: dead-letter queue redrive). The task's ID in a
//     TaskHandle is a UUID (L: basic_move_task_workflow).
//   - PurgeQueue clears the deduplication of a FIFO queue (L:
//     purge_queue_clears_fifo_deduplication_cache).
//   - DeduplicationScope can be changed, and the queue goes on by the scope that it
//     was made with (localstack pulls 10324 and 10887).
//   - A queue may be its own dead-letter queue (L: set_empty_redrive_policy).
//   - A batch fails whole if one entry for a FIFO queue lacks a group or a
//     deduplication ID that it needs (L: send_batch_missing_…); other faults fail
//     their entry alone.
//   - Names of message attributes may have letters beyond ASCII (L:
//     send_message_with_invalid_string_attributes). An empty MessageGroupId is
//     refused on a standard queue too (G). A ReceiveRequestAttemptId on one is
//     ignored (B).
//   - GetQueueAttributes leaves its member Attributes out if none of the named is
//     set, and AddPermission writes a list of one as its member (L:
//     sqs_permission_lifecycle). FifoQueue can be set to what it is (L:
//     set_unsupported_attribute_fifo).
//
// The tests of this package have each of them, in tables.
//
// # Limits
//
//   - Signatures, IAM, and the evaluation of a queue's Policy: the server checks
//     only, with Config.AccessKeyIDs, that a known key is named. A [Fault] with
//     "AccessDeniedException" and a Match on the key stands for a policy that denies.
//   - The older query protocol (form-encoded requests, XML answers) of SDKs from
//     before November 2023: the server refuses it with an error that names it.
//   - Encryption: the attributes are kept and have no effect; no KMS key is looked
//     for. The KMS errors can be injected.
//   - Several accounts and regions: one server has one of each. A request signed for
//     another region is served all the same.
//   - Randomness of the service: a standard queue delivers roughly in order, a short
//     poll sees every message, counts are exact, a purge and a deletion are done when
//     they are answered, nothing is delivered twice without a reason. Faults (a
//     response dropped after the work, above all) make duplicates on purpose.
//   - Quotas of requests: RequestThrottled comes from a Fault only.
//   - MessageNotInflight: SQS documents it and answers InvalidParameterValue. It can
//     be injected.
//   - CloudWatch metrics and EventBridge, and compressed requests.
//
// # Concurrency and cost
//
// All methods may be called concurrently. A request costs a few microseconds
// beyond the HTTP around it; a delivery takes no memory outside of the store.
package sqstest
