// Package snspush runs a handler on an Amazon SNS subscription by HTTP or HTTPS.
// [Endpoint] is an http.Handler that verifies SNS's signatures, confirms the
// subscription and gives notifications to the handler:
//
//	endpoint, err := snspush.New(h, []string{"arn:aws:sns:eu-west-1:123456789012:orders"}, nil)
//	…
//	mux.Handle("/sns", endpoint)
//
// # Delivery
//
// At least once. A message has no lease: extending returns [handler.ErrNoLease],
// and the heartbeat middleware does nothing. Its attempt is not known and is 0.
// Its origin's queue is the topic's ARN. Its ID is the notification's. Its
// attributes are the publisher's and the four sns-… ones of package
// codec/envelope.
//
// # Verdict mapping
//
//	ack, drop                 200
//	retry, postponement       503; the subscription's delivery policy sets the delay
//	dead-letter               200 once Config.DeadLetter has returned nil, 503 if it
//	                          fails, 500 if it is nil
//	panic                     503; the stack is logged
//	not from SNS, or of a
//	topic not declared        403, which SNS does not retry
//	certificate out of reach  503
//	unreadable                400, too large 413, not a POST 405
//
// # Trust
//
// SNS signs Subject, Message and the other fields of a notification, but not the
// publisher's MessageAttributes. Base no decision about trust on them if anyone
// but SNS can reach the endpoint. Raw deliveries are not signed and are refused.
//
// # Testing
//
// The tests post documents that a fake SNS on the loopback interface has signed.
package snspush
