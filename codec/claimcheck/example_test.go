package claimcheck_test

import (
	"context"
	"fmt"
	"strings"

	"gocloud.dev/blob/memblob"

	"github.com/sluice-go/sluice/codec/claimcheck"
	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
)

func Example() {
	ctx := context.Background()
	// A program has claimcheck.OpenBucket(ctx, "s3://large-bodies?region=us-east-1").
	bucket := claimcheck.Bucket{Name: "large-bodies", Prefix: "orders/", Blob: memblob.OpenBucket(nil)}
	defer bucket.Blob.Close()
	check, err := claimcheck.New(bucket, nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	var queues mem.Opener
	sink, err := queues.Sink(ctx, "orders", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := producer.New(sink, &producer.Config{Prepare: []func(context.Context, *handler.Message) error{check.Prepare}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	if err := p.Send(ctx, &handler.Message{Body: []byte(strings.Repeat("x", 5<<20))}); err != nil {
		fmt.Println(err)
		return
	}

	source, err := queues.Source(ctx, "orders", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	h := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		fmt.Println("handled", len(m.Body), "bytes")
		return nil
	})
	c, err := consumer.New(source, handler.Chain(h, check.Middleware), &consumer.Config{UntilEmpty: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Run(ctx))
	// Output:
	// handled 5242880 bytes
	// <nil>
}

// A handler that reads large bodies as a stream, and small ones just so.
func ExampleOpen() {
	bucket := claimcheck.Bucket{Name: "large-bodies", Blob: memblob.OpenBucket(nil)}
	defer bucket.Blob.Close()
	check, err := claimcheck.New(bucket, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	count := handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		body, err := claimcheck.Open(ctx, m)
		if err != nil {
			return err // the verdict
		}
		defer body.Close()
		first := make([]byte, 5)
		if _, err := body.Read(first); err != nil {
			return err
		}
		fmt.Printf("%s\n", first)
		return nil
	})
	h := handler.Chain(count, check.Stream)

	ctx := context.Background()
	large := &handler.Message{Body: []byte("large" + strings.Repeat(" ", 1<<20))}
	if err := check.Prepare(ctx, large); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(h.Handle(ctx, large))
	fmt.Println(h.Handle(ctx, &handler.Message{Body: []byte("small")}))
	lost := &handler.Message{
		Body:       []byte(`["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"large-bodies","s3Key":"x"}]`),
		Attributes: map[string]string{"ExtendedPayloadSize": "9"},
	}
	fmt.Println(h.Handle(ctx, lost))
	// Output:
	// large
	// <nil>
	// small
	// <nil>
	// rejected: claim check: the body is lost: bucket "large-bodies" has no key "x" (deleted after another delivery's ack, or by a lifecycle rule?)
}
