// Package claimcheck stores large bodies in a bucket (Amazon S3, Cloud Storage, or
// any that gocloud.dev/blob opens) and sends pointers in their place, so that a
// message may be larger than its queue allows. It reads and writes the format of the
// Amazon SQS Extended Client Library, so either end can be Java or Python.
//
//	import _ "gocloud.dev/blob/s3blob" // the driver of the bucket's URL
//
//	bucket, err := claimcheck.OpenBucket(ctx, "s3://large-bodies?region=us-east-1")
//	check, err := claimcheck.New(bucket, nil)
//	p, err := producer.New(sink, &producer.Config{
//		Prepare: []func(context.Context, *handler.Message) error{check.Prepare},
//	})
//	h = handler.Chain(h, check.Middleware)
//
// # Sending
//
// [Check.Prepare] is a hook for the producer. It does not change small messages, at
// the cost of no allocation. It puts the body of a larger message into the bucket,
// under a new key, before the message is sent. The body of a message that is then
// refused or lost stays in the bucket: give the bucket a lifecycle rule that removes
// objects older than the retention of the queue and of its dead-letter queue
// together. A shorter rule loses the bodies of messages that still wait.
//
// A FIFO queue with content-based deduplication sees the pointer, which is new
// each time: give such messages a DedupeID.
//
// # Format
//
// The message's body is the pointer, and its attribute ExtendedPayloadSize is the
// number of bytes of the real body, in decimal (on SQS of type Number):
//
//	S3     ["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"…","s3Key":"…"}]
//	GCS    ["sluice.claimcheck.GCSPointer",{"gcsBucketName":"…","gcsKey":"…"}]
//	other  ["sluice.claimcheck.BlobPointer",{"bucket":"…","key":"…"}]
//
// The older class com.amazon.sqs.javamessaging.MessageS3Pointer and attribute
// SQSLargePayloadSize are read too, and written with [Config.Legacy]. As in the
// Extended Client, a message is a pointer if it has one of the two attributes; a body
// that only looks like a pointer is not one. The bucket holds the real body byte by
// byte; the Extended Client reads it as UTF-8.
//
// # Receiving
//
// [Check.Middleware] reads the body before the handler sees the message. For bodies
// that should not be in memory use [Check.Stream] instead, and read them in the
// handler with [Open]. Both belong inside heartbeat, so that the lease is kept
// meanwhile, and inside idempotency, so that a duplicate needs no body: around the
// handler itself, within the standard stack.
//
// The runtime's message keeps its pointer: a retry, a dead letter and a redriven
// message still lead to the body.
//
// A sender must not be able to make a consumer read or delete arbitrary objects. A
// message is rejected if its pointer names an undeclared bucket or a key outside the
// bucket's prefix ([ErrForeign]) or is malformed ([ErrMalformed]), or if the body is
// missing ([ErrLost]) or too large ([ErrTooLarge]). While the bucket can't be read (an
// outage, a folder that is not mounted) the message is postponed, which spends no attempt.
// Any other failure to read (a permission, a missing bucket) is a retry.
//
// # Deletion
//
// Bodies are not deleted unless a [Deleter] observes the consumer. Consider that
// queues deliver at least once, and topics to several subscriptions: the first ack
// deletes the body for all of them, and the other messages are rejected as lost before
// their handlers run. A lifecycle rule avoids that.
//
// # Permissions
//
// On S3 s3:PutObject to send; s3:GetObject and s3:ListBucket to receive, since
// without the second S3 answers "denied" for a missing body; s3:DeleteObject and
// s3:GetObject to delete. On Cloud Storage the roles Storage Object Creator,
// Viewer and User.
package claimcheck
