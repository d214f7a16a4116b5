package letters_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
)

// Letters are grouped by cause; those of one cause are saved and discarded.
func Example() {
	ctx := context.Background()
	source, err := drivers.NewMux(&mem.Opener{}).OpenSource(ctx, "mem://orders", nil)
	if err != nil {
		panic(err)
	}
	defer func() { _ = source.Close() }()
	dead, err := source.(deadletter.Writer).OpenDeadLetterSink(ctx)
	if err != nil {
		panic(err)
	}
	for _, reason := range []string{"no such account: 7", "out of paper", "no such account: 12"} {
		m := &handler.Message{Body: []byte("x"), Attempt: 2}
		m.Attributes = drivers.FailureAttributes(&drivers.Failure{Reason: reason}, m, "orders", 0)
		dead.Send(ctx, []*handler.Message{m})
	}

	var groups letters.Groups
	if _, err := letters.Each(ctx, source, nil, func(l letters.Letter) error {
		groups.Add(l)
		return nil
	}); err != nil {
		panic(err)
	}
	for _, g := range groups.Sorted() {
		fmt.Println(g.Count, g.Pattern)
	}
	worst := &letters.Options{Filter: letters.Filter{Groups: []string{groups.Sorted()[0].ID}}}
	var saved bytes.Buffer
	if _, err := letters.Export(ctx, source, &saved, worst); err != nil {
		panic(err)
	}
	gone, err := letters.Discard(ctx, source, worst)
	if err != nil {
		panic(err)
	}
	fmt.Printf("discarded %d of %d; saved %d\n", gone.Done, gone.Seen, bytes.Count(saved.Bytes(), []byte("\n")))
	// Output:
	// 2 no such account: #
	// 1 out of paper
	// discarded 2 of 3; saved 2
}
