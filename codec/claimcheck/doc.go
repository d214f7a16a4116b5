// Package claimcheck keeps large bodies in a bucket (Amazon S3, Cloud Storage,
// anything that gocloud.dev/blob opens) and sends a pointer in their place, so
// that a message may be larger than its queue takes. It reads and writes the
// format of the Amazon SQS Extended Client Library, so that either end can be
// Java or Python.
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
// [Check.Prepare] is a hook of the producer's. It leaves small messages alone:
// those cost no allocation. The body of a larger one is put into the bucket
// under a key of its own, and is there before the message is sent. What a sender
// uploads for a message that is then refused or lost stays in the bucket: give
// the bucket a lifecycle rule that removes what is older than the retention of
// the queue and of its dead-letter queue together. A rule that is shorter loses
// bodies of messages that still wait.
//
// A FIFO queue with content-based deduplication sees the pointer, which is new
// each time: give such messages a DedupeID.
//
// # Format
//
// The body is the pointer, and the attribute [SizeAttribute] has the real body's
// bytes as a decimal number (on SQS of type Number):
//
//	S3     ["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"…","s3Key":"…"}]
//	GCS    ["sluice.claimcheck.GCSPointer",{"gcsBucketName":"…","gcsKey":"…"}]
//	other  ["sluice.claimcheck.BlobPointer",{"bucket":"…","key":"…"}]
//
// The older class com.amazon.sqs.javamessaging.MessageS3Pointer and attribute
// SQSLargePayloadSize are read as well, and written with [Config.Legacy]. That a
// message has one of the two attributes is what makes it a pointer, as in the
// Extended Client; a body that only looks like one is a body. The real body is
// in the bucket byte by byte; the Extended Client reads it as UTF-8.
//
// # Receiving
//
// [Check.Middleware] gets the body before the handler sees the message. For a
// body that should not be in memory [Check.Stream] stands in its place, and the
// handler reads it by [Open]. Both belong inside heartbeat, so that the lease is
// kept meanwhile, and inside idempotency, so that a duplicate needs no body:
// around the handler itself, within the standard stack.
//
// The message that the runtime has keeps its pointer: a retry, a dead letter and
// a redriven message still lead to the body.
//
// A sender must not have a consumer read, or delete, what it likes. A pointer to
// a bucket that was not declared, or to a key outside its prefix, is a rejection
// ([ErrForeign]), and so are a malformed pointer ([ErrMalformed]), a body that is
// gone ([ErrLost]) and one that is too large ([ErrTooLarge]). Whatever else
// prevents reading (outage, permission, a bucket that is missing) is a retry.
//
// # Deletion
//
// Bodies are not deleted unless a [Deleter] observes the consumer. Think twice:
// queues deliver at least once, and a topic to several subscriptions. The first
// ack deletes the body for all of them, and the others' handlers never run: their
// messages are rejected as lost. A lifecycle rule has no such trouble.
//
// # Permissions
//
// On S3 s3:PutObject to send; s3:GetObject and s3:ListBucket to receive, since
// without the second S3 answers "denied" where a body is gone; s3:DeleteObject
// and s3:GetObject to delete. On Cloud Storage the roles Storage Object Creator,
// Viewer and User.
package claimcheck
