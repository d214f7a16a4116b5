// Package sqslambda runs a handler, with its middleware, as an AWS Lambda
// function on the events of an SQS queue.
//
//	source, err := (&sqs.Opener{}).OpenSource(ctx, queueURL, nil)
//	fn, err := sqslambda.New(source, h, nil)
//	lambda.Start(fn.Handle)
//
// The source is for carrying verdicts out; Lambda's event source mapping does
// the receiving and deletes what was handled.
//
// # Event source mapping
//
// ReportBatchItemFailures must be among the mapping's FunctionResponseTypes.
// Without it Lambda does not look at the response, and deletes what the function
// reports as failed: then set Config.WholeBatch. The queue's visibility timeout
// is to be at least six times the function's timeout, and a redrive policy's
// maxReceiveCount at least five, as AWS says, since throttled invocations count
// as receives.
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
// opened. SQS would dead-letter the message at the next receive, without a
// reason. So a dead letter without one is of a message that no handler failed:
// one whose receives were spent by crashes, throttled invocations or
// postponements. SQS counts each receive, and Lambda cannot keep a message: a
// middleware that postpones ([handler.Postpone]) spends an attempt here.
//
// A rejection without a dead-letter queue, or that SQS does not take, is reported
// as failed, and logged once a minute at most. A delay beyond what is left of the
// 12 hours that SQS gives a message in flight is cut.
//
// # Order
//
// Messages of a FIFO queue's group are handled in order, one at a time. From the
// first failure of a group on, all later ones of that group are reported as
// failed unhandled, and become visible together with the first. Groups of a
// standard queue (fair queues) mean no order.
//
// # Time
//
// Handlers' contexts end Config.Margin before the invocation does. What has not
// been started by then goes back at once and is reported as failed. A handler
// that does not return though its context has ended is left behind: its message is
// reported as failed, or rejected if the attempt was the last. What it returns
// later (Lambda freezes the environment between invocations) is lost, counted, and
// never reported as success. There is
// no lease to extend: Message.Lease refuses with handler.ErrNoLease and the
// heartbeat middleware does nothing.
//
// Gates have nothing to hold back here, since it is Lambda that receives: a breaker
// or a rate limit puts messages off one by one, which uses up their attempts. The
// mapping's MaximumConcurrency is what slows receiving down.
//
// # Permissions
//
// The function's role needs sqs:ReceiveMessage, sqs:DeleteMessage and
// sqs:GetQueueAttributes for the mapping, sqs:ChangeMessageVisibility for delays,
// and sqs:SendMessage and sqs:GetQueueAttributes on the dead-letter queue.
//
// # Testing
//
// A test hands an event to [Function.Handle], with package sqstest as the queue.
package sqslambda
