package job_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler/route"
	"github.com/sluice-go/sluice/job"
	"github.com/sluice-go/sluice/producer"
)

type SendEmail struct {
	To string `json:"to"`
}

func (SendEmail) Kind() string { return "send-email" }

type Resize struct {
	Width int `json:"width"`
}

func (Resize) Kind() string { return "resize" }

func Example() {
	ctx := context.Background()
	var queues mem.Opener
	sink, err := queues.Sink(ctx, "jobs", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := producer.New(sink, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	client, err := job.NewClient(p, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.Enqueue(ctx, SendEmail{To: "a@example.com"}, nil); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.Enqueue(ctx, Resize{Width: 640}, &job.Options{Expires: time.Now().Add(time.Hour)}); err != nil {
		fmt.Println(err)
		return
	}

	router, err := route.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := job.Add(router, func(_ context.Context, j SendEmail) error {
		fmt.Println("mail to", j.To)
		return nil
	}); err != nil {
		fmt.Println(err)
		return
	}
	if err := job.Add(router, func(ctx context.Context, j Resize) error {
		fmt.Println("resize to", j.Width, "at attempt", job.Message(ctx).Attempt)
		return nil
	}); err != nil {
		fmt.Println(err)
		return
	}
	source, err := queues.Source(ctx, "jobs", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := consumer.New(source, router, &consumer.Config{UntilEmpty: true, Concurrency: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Run(ctx))
	// Output:
	// mail to a@example.com
	// resize to 640 at attempt 1
	// <nil>
}
