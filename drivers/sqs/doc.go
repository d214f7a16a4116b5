// Package sqs is the driver for Amazon SQS, and for servers that speak its protocol
// (LocalStack, ElasticMQ, package sqstest).
//
//	awssqs:///orders?region=us-east-1
//	awssqs:///123456789012/orders
//	awssqs://sqs.us-east-1.amazonaws.com/123456789012/orders
//
// The first two are resolved by name, in the caller's account or in the given one.
// The third is the queue's URL. Requests go to its host, including FIPS, dual-stack,
// VPC and legacy hosts, and are signed for the region in it. Other hosts than AWS's
// are reached by HTTP on a loopback address and by HTTPS elsewhere; a host without a
// dot, such as a container's name, needs the parameter endpoint. The parameters are
//
//	region              the region, if neither the environment nor the host has it
//	profile             the profile of the shared configuration files
//	endpoint            the endpoint; overrides AWS_ENDPOINT_URL_SQS and
//	                    AWS_ENDPOINT_URL
//	visibility_timeout  the lease that receives ask for, such as 90s; default: the
//	                    queue's own
//	dead_letter         the dead-letter queue (name, URL or ARN); default: the
//	                    target of the queue's redrive policy
//
// Credentials come from the AWS SDK's default chain only: even a local endpoint needs
// some in the environment. A program that has a client of the SDK uses [NewSource]
// and [NewSink].
//
// # Delivery
//
// At least once. A standard queue keeps no order; a message's group is then a
// fair-queue tenant. A FIFO queue delivers the messages of a group in order and
// blocks the group while one of them is in flight or waits for its retry.
//
// Attempts are ApproximateReceiveCount, which also counts deliveries that no
// handler saw. SQS continues this count in a dead-letter queue. There the driver
// subtracts the maxReceiveCount of the source queue, so that attempts are counted
// from the message's arrival in this queue. It reads the source queue's policy once
// (sqs:GetQueueAttributes). If that is denied, the lowest count seen on its letters
// stands for the first attempt.
//
// Every receive names its visibility timeout: the configured one, or the queue's,
// which is read when the source is opened and once a minute. A change applies to
// later receives; a held message keeps the lease with which it was received. A
// message with a wrong checksum is reported, and stays until its lease ends; the
// others of its receive are delivered.
//
// The redrive policy is read about every two minutes, and soon after a letter found
// no queue. Rejections follow it: [Source.Current] returns its target and its
// maxReceiveCount. A change is logged. A queue can't change between FIFO and
// standard.
//
// A receive that is canceled, or whose answer is lost, leaves the messages that
// SQS had granted invisible for one visibility timeout; on a FIFO queue the next
// receive of the same source gets them, by its receive request attempt ID. A
// receive that waits for less than a second is a short poll, which queries only
// some of SQS's servers: if it returns no messages, the queue need not be empty.
//
// # Limits
//
// Ten messages a request; a message is at most the queue's MaximumMessageSize
// (up to 1 MiB), a request 1 MiB, or 256 KiB if the queue accepts no larger
// messages. A message is delayed by up to 15 minutes when it is sent,
// not at all on a FIFO queue, by up to 12 hours when it is retried. All times are
// whole seconds, rounded up. A lease lasts 12 hours at most, counted from the
// receive. A queue has at most 120,000 messages in flight.
//
// # The SDK
//
// An [Opener]'s queues make ReceiveMessage and the batch requests without the SDK's
// middleware, in the form of its own requests: with its endpoint, credentials,
// user agent and HTTP client. The SDK handles all errors, and makes one request of its
// own a minute. It makes all requests if the configuration has middleware (APIOptions),
// interceptors, a ClientLogMode, a tracer, a meter, or a signer, scheme of
// authentication or resolver of endpoints of the program's, and on AWS Lambda. A client
// that a program hands to [NewSource] or [NewSink] makes all its requests.
//
// # Verdict mapping
//
//	ack, drop        DeleteMessageBatch
//	retry with a delay  ChangeMessageVisibilityBatch
//	retry without       no request: the visibility timeout runs down
//	reject              SendMessageBatch to the dead-letter queue with failure
//	                    attributes, then DeleteMessageBatch
//
// A settlement of several kinds makes their requests at the same time. A standard
// queue silently accepts a delete by a stale receipt, although it may have
// redelivered the message.
//
// # Attribute escaping
//
// An attribute is sent unchanged as a message attribute of type String, which any
// client can read. The attributes that SQS cannot carry go into one more attribute,
// sluice-more, as JSON: names and values with characters that SQS refuses, empty
// values, and those beyond the ten that a message may have. An attribute called
// AWSTraceHeader is the system attribute of that name, in both directions. Those
// that mark a claim check (package claimcheck) are of type Number, as in the Amazon
// SQS Extended Client.
//
// A body that is text is sent unchanged. Any other is base64 with the attribute
// sluice-body=base64; an empty one is "-" with sluice-body=empty. A group or dedupe
// ID that SQS would refuse is sent as its hash, with the group in the attribute
// sluice-group. If a message has no room for the driver's own attributes they are in
// sluice-more too: the user's come first, then tracing, then Sluice's.
//
// # Identity
//
// The dedupe ID of a message is the attribute sluice-dedupe-id, on FIFO queues
// beside the message deduplication ID: SQS replaces that ID by the message ID in
// a dead-letter queue, and gives a redriven message a new message ID. A message
// without a dedupe ID has an identity in the attribute, from package producer or
// from the sink. On a FIFO queue it is the deduplication ID too, unless the queue
// has content-based deduplication.
//
// A received message's DedupeID is the sender's, or else that identity. It is
// empty if another program sent the message without a deduplication ID: its
// message ID identifies it then, until SQS itself moves it out of a dead-letter
// queue. A letter of this driver, and a selective redrive, keep that ID as the
// identity. A message that is too large only because of a generated identity is sent
// without.
//
// # Attributes of other clients
//
// A handler sees an attribute of type Number as its text and one of type Binary as
// base64. If a message is sent again, as a letter, by a redrive, or as a copy by a
// handler, unchanged attributes keep their types and values, including custom types;
// a changed value is a String. Other clients' attributes keep their places before
// Sluice's. If there are ten of them, the most that SQS accepts, and none was changed
// or added, the message goes as it came: without the reason of its failure, the count
// of its redrives and its identity. The reason is in the consumer's log.
//
// # Permissions
//
// To receive: sqs:GetQueueAttributes, sqs:ReceiveMessage, sqs:DeleteMessage and
// sqs:ChangeMessageVisibility on the queue, sqs:SendMessage and
// sqs:GetQueueAttributes on its dead-letter queue. To send: sqs:GetQueueAttributes
// and sqs:SendMessage. By name: sqs:GetQueueUrl. To purge: sqs:PurgeQueue. For
// the age of the oldest message: cloudwatch:GetMetricStatistics. With a customer's KMS key: kms:Decrypt, and kms:GenerateDataKey to send.
//
// # Testing
//
// Package sqstest is an SQS server in the test's own process. The driver runs the
// tests of package drivertest on it, on LocalStack and on ElasticMQ.
package sqs
