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
// # What is simulated
//
//   - Queues: CreateQueue (idempotent; QueueAlreadyExists where an attribute that
//     is given differs; names; tags; optionally the 60 seconds after a deletion),
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
//     latest. Deleting with a receipt that is not the newest succeeds on a standard
//     queue and deletes nothing; on a FIFO queue it is an error as soon as the lease
//     has ended. Changing a lease that has ended is InvalidParameterValue.
//   - FIFO queues: order and blocking within a group, the deduplication window of
//     five minutes by ID, content, queue or group, sequence numbers,
//     ReceiveRequestAttemptId, no delay by message. Group IDs on standard queues
//     (fair queues) are kept and given back, and mean no order.
//   - Dead letters: RedrivePolicy (the target must exist, be of the same kind and
//     allow it), RedriveAllowPolicy, ListDeadLetterSourceQueues,
//     DeadLetterQueueSourceArn; a message moves at the receive after its last one,
//     and keeps the time when it was sent on standard queues.
//   - Move tasks: Start, Cancel and ListMessageMoveTasks; one running task a source,
//     1 to 500 messages a second; the source must be a dead-letter queue, and
//     without a destination a message that was sent to it directly fails the task.
//   - Errors: the code, __type, x-amzn-query-error header and HTTP status of SQS, so
//     that the typed errors of SDKs work; partial failures of batches. Texts are
//     SQS's where they are known.
//
// # What is not simulated
//
//   - Signatures, IAM, and the evaluation of a queue's Policy: nothing is checked
//     but, with Config.AccessKeyIDs, that a known key is named. A [Fault] with
//     [CodeAccessDenied] and a Match on the key stands for a policy that denies.
//   - The older query protocol (form-encoded requests, XML answers), which SDKs from
//     before November 2023 speak: it is refused with an error that says so.
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
// Everything may be called concurrently. A request costs a few microseconds
// beyond the HTTP around it; nothing is kept per delivery outside of the engine.
package sqstest
