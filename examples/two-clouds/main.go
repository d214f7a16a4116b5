// Command two-clouds sends some orders to a queue, charges them, and shows what
// was charged and what became a dead letter. Its arguments are configuration
// files, of which later ones win: which cloud it works on is in them alone.
//
//	go run . sluice.yaml aws.yaml
//	go run . sluice.yaml gcp.yaml
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/examples/two-clouds/order"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/service"
)

const queue = "orders"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "two-clouds:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, files []string, out io.Writer) error {
	conf, err := config.Load(&config.Options{Files: files, Environ: os.Environ()})
	if err != nil {
		return err
	}
	mux := all.Mux()
	if err := send(ctx, conf, mux); err != nil {
		return err
	}
	var book order.Book
	s, err := service.New(conf, &service.Options{Mux: mux, UntilEmpty: true, Admin: service.NoAdmin})
	if err != nil {
		return err
	}
	s.Handle(queue, book.Handler())
	if err := s.Run(ctx); err != nil {
		return err
	}
	for _, line := range book.Lines() {
		if _, err := fmt.Fprintln(out, "charged ", line); err != nil {
			return err
		}
	}
	return letters(ctx, conf, mux, out)
}

// send sends ten good orders, two of them slow, and two that cannot be charged.
func send(ctx context.Context, conf *config.Config, mux *drivers.Mux) error {
	bodies := [][]byte{[]byte("half an ord")}
	for i := range 11 {
		body, err := json.Marshal(order.Order{ID: fmt.Sprintf("order-%02d", i), Cents: int64(100 * i), Slow: i%5 == 4})
		if err != nil {
			return err
		}
		bodies = append(bodies, body)
	}
	sink, err := conf.OpenSink(ctx, mux, queue)
	if err != nil {
		return err
	}
	var faults []error
	for batch := range slices.Chunk(bodies, 10) {
		var ms []*handler.Message
		for _, b := range batch {
			ms = append(ms, &handler.Message{Body: b, Attributes: map[string]string{"tenant": "acme"}})
		}
		faults = append(faults, sink.Send(ctx, ms)...)
	}
	return errors.Join(append(faults, sink.Close())...)
}

// letters shows the dead letters, with their reasons.
func letters(ctx context.Context, conf *config.Config, mux *drivers.Mux, out io.Writer) error {
	source, err := conf.OpenSource(ctx, mux, queue)
	if err != nil {
		return err
	}
	err = show(ctx, source, out)
	return errors.Join(err, source.Close())
}

func show(ctx context.Context, source drivers.Source, out io.Writer) error {
	inspector, ok := source.(drivers.Inspector)
	if !ok {
		return fmt.Errorf("%s cannot be looked into", queue)
	}
	ms, err := inspector.Peek(ctx, 10, true)
	if err != nil {
		return err
	}
	// A message's ID is the provider's, and never the same twice.
	id := regexp.MustCompile(`message "[^"]*"`)
	var lines []string
	for _, m := range ms {
		if f, ok := drivers.ParseFailure(m.Attributes); ok {
			lines = append(lines, fmt.Sprintf("letter   %s: %s, attempt %d", m.Body, id.ReplaceAllString(f.Reason, "message ID"), f.Attempt))
		}
	}
	slices.Sort(lines)
	for _, line := range lines {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}
