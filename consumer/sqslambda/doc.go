// Package sqslambda runs a handler, with its middleware, as an AWS Lambda
// function on the events of an SQS queue.
//
//	source, err := (&sqs.Opener{}).OpenSource(ctx, queueURL, nil)
//	fn, err := sqslambda.New(source, h, nil)
//	lambda.Start(fn.Handle)
//
// The source carries out verdicts. Lambda's event source mapping receives, and deletes
// the messages that were handled.
//
// # Event source mapping
//
// ReportBatchItemFailures must be among the mapping's FunctionResponseTypes.
// Without it Lambda ignores the response and deletes messages that the function reports
// as failed: then set Config.WholeBatch. As AWS recommends, the queue's visibility
// timeout should be at least six times the function's timeout, and a redrive policy's
// maxReceiveCount at least five, since throttled invocations count as receives.
//
// # Verdict mapping
//
//	ack, drop        reported as success; Lambda deletes the message
//	retry with a delay  ChangeMessageVisibilityBatch, then reported as failed
//	retry without       reported as failed: the visibility timeout runs down
//	retry, the last     as reject, with the failure as the reason
//	postponed           as retry with a delay, and counted as released
//	reject              SendMessageBatch to the dead-letter queue with failure
//	                    attributes, DeleteMessageBatch, then reported as success
//	panic               recovered and logged with its stack; as retry without
//
// The last attempt is the one at which ApproximateReceiveCount has reached the
// maxReceiveCount of the queue's redrive policy, as it was when the source was
// opened. SQS would dead-letter the message at the next receive, without a reason. A
// dead letter without a reason is therefore one that no handler failed: crashes,
// throttled invocations or postponements have spent its receives. SQS counts each
// receive, and Lambda can't keep a message: a middleware that postpones
// ([handler.Postpone]) spends an attempt.
//
// A rejection that SQS refuses, or that has no dead-letter queue, is reported as
// failed, and logged at most once a minute. A delay is cut to the rest of the 12 hours
// that SQS allows a message in flight.
//
// # Order
//
// Messages of a FIFO queue's group are handled in order, one at a time. After the first
// failure of a group, its later messages are reported as failed without being handled,
// and become visible together with the first. Groups of a standard queue (fair queues)
// have no order.
//
// # Time
//
// Handlers' contexts end Config.Margin before the invocation does. Messages that have
// not been started by then are released immediately and reported as failed. A handler
// that does not return after its context has ended is abandoned: its message is
// reported as failed, or rejected if the attempt was the last. Its later verdict
// (Lambda freezes the environment between invocations) is counted as late, and never
// reported as success. Messages have no lease: extending returns handler.ErrNoLease,
// and the heartbeat middleware does nothing.
//
// Gates have no effect, since Lambda receives: a breaker or a rate limit postpones
// messages one by one, which spends their attempts. Use the mapping's
// MaximumConcurrency to slow down receiving.
//
// # Permissions
//
// The function's role needs sqs:ReceiveMessage, sqs:DeleteMessage and
// sqs:GetQueueAttributes for the mapping, sqs:ChangeMessageVisibility for delays,
// and sqs:SendMessage and sqs:GetQueueAttributes on the dead-letter queue.
//
// # Testing
//
// Tests call [Function.Handle] with an event, and use package sqstest as the queue.
package sqslambda
