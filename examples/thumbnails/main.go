// Command thumbnails makes a thumbnail of each image of a directory or bucket, by
// way of a queue: one object-created event an image goes onto the queue, and
// package thumbnail's handler takes them from there.
//
// With no arguments it uses its own images, some of them broken, an embedded
// queue and a temporary directory:
//
//	go run ./examples/thumbnails
//
// Any other place is a flag:
//
//	thumbnails -in ~/Pictures -out thumbs
//	thumbnails -in s3://photos?region=eu-west-1 -out s3://thumbs?region=eu-west-1 -queue awssqs:///photos
//	thumbnails -in gs://photos -out gs://thumbs -queue gcppubsub://projects/p/subscriptions/photos
//
// In production the store sends the events, and the program only consumes them:
//
//	thumbnails -worker -in s3://photos -out s3://thumbs -queue awssqs:///photos
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"gocloud.dev/blob"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/examples/thumbnails/thumbnail"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/producer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		_, _ = fmt.Fprintln(os.Stderr, "thumbnails:", err) // nobody else would report it
		os.Exit(1)
	}
}

// errUsage is a fault of the arguments, which package flag has reported.
var errUsage = errors.New("wrong usage")

// options are the command line's.
type options struct {
	queue, in, out string
	events         string
	concurrency    int
	size           int
	worker         bool
	verbose        bool
}

func parse(args []string, stderr io.Writer) (*options, error) {
	var o options
	f := flag.NewFlagSet("thumbnails", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.queue, "queue", "", "URL of the queue (default: an embedded one in a temporary directory)")
	f.StringVar(&o.in, "in", "", "directory or bucket URL with the images (default: the program's own)")
	f.StringVar(&o.out, "out", "", "directory or bucket URL for the thumbnails (default: a temporary directory)")
	f.StringVar(&o.events, "events", "both", "shape of the events that are sent: s3, gcs or both in turn")
	f.IntVar(&o.concurrency, "concurrency", runtime.NumCPU(), "how many images are worked on at once")
	f.IntVar(&o.size, "size", thumbnail.DefaultSize, "longest side of a thumbnail in pixels")
	f.BoolVar(&o.worker, "worker", false, "send no events; handle those of the queue until interrupted")
	f.BoolVar(&o.verbose, "v", false, "log every message")
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil, err
	case err != nil:
		return nil, errUsage
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.events != "s3" && o.events != "gcs" && o.events != "both":
		err = fmt.Errorf("-events %s: it is s3, gcs or both", o.events)
	case o.concurrency < 1 || o.size < 1:
		err = errors.New("-concurrency and -size must be at least 1")
	case o.worker && (o.queue == "" || o.in == ""):
		err = errors.New("-worker needs -queue and -in")
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		f.Usage()
		return nil, errUsage
	}
	return &o, nil
}

// run is the program.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if err := o.fillIn(); err != nil {
		return err
	}
	in, name, err := openBucket(ctx, o.in, false)
	if err != nil {
		return fmt.Errorf("-in: %w", err)
	}
	defer closing(in, &err)
	out, _, err := openBucket(ctx, o.out, true)
	if err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	defer closing(out, &err)

	level := slog.LevelError // the summary has the rest
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	mux := all.Mux()
	events := 0
	if !o.worker {
		if events, err = send(ctx, mux, o, in, name); err != nil {
			return err
		}
	}
	t := newTally(events)
	stop := t.show(stdout)
	err = consume(ctx, mux, o, in, out, name, t, log)
	stop()
	return errors.Join(err, t.summary(stdout, o))
}

// fillIn gives the places that were not named.
func (o *options) fillIn() error {
	if o.queue != "" && o.in != "" && o.out != "" {
		return nil
	}
	dir, err := os.MkdirTemp("", "sluice-thumbnails-")
	if err != nil {
		return err
	}
	if o.queue == "" {
		o.queue = (&url.URL{Scheme: "sqlite", Path: filepath.ToSlash(filepath.Join(dir, "queue.db")), RawQuery: "queue=thumbnails"}).String()
	}
	if o.in == "" {
		o.in = filepath.Join(dir, "images")
		if err := unpack(o.in); err != nil {
			return err
		}
	}
	if o.out == "" {
		o.out = filepath.Join(dir, "thumbnails")
	}
	return nil
}

// send puts an event for each object of the bucket onto the queue, and returns
// how many they are.
func send(ctx context.Context, mux *drivers.Mux, o *options, in *blob.Bucket, name string) (n int, err error) {
	sink, err := mux.OpenSink(ctx, o.queue, nil)
	if err != nil {
		return 0, err
	}
	p, err := producer.New(sink, nil)
	if err != nil {
		return 0, errors.Join(err, sink.Close())
	}
	defer closing(p, &err)
	var batch []*handler.Message
	for list := in.List(nil); ; {
		object, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return n, fmt.Errorf("list the images: %w", err)
		}
		event := thumbnail.S3Event
		if o.events == "gcs" || o.events == "both" && n%2 == 1 {
			event = thumbnail.StorageEvent
		}
		m, err := event(thumbnail.Object{Bucket: name, Key: object.Key, Size: object.Size})
		if err != nil {
			return n, err
		}
		n++
		if batch = append(batch, m); len(batch) == 500 {
			if err := p.Send(ctx, batch...); err != nil {
				return n, err
			}
			batch = nil
		}
	}
	return n, p.Send(ctx, batch...)
}

// consume handles the queue's events, until it is empty or ctx is done.
func consume(ctx context.Context, mux *drivers.Mux, o *options, in, out *blob.Bucket, name string, t *tally, log *slog.Logger) error {
	h, err := thumbnail.New(in, out, &thumbnail.Config{Bucket: name, Size: o.size, Wrote: t.wrote})
	if err != nil {
		return err
	}
	messages := slog.New(slog.DiscardHandler) // the summary lists each dead letter
	if o.verbose || o.worker {
		messages = log
	}
	stack, err := middleware.Standard(&middleware.Config{
		Logger:  messages,
		Backoff: &backoff.Config{Min: 200 * time.Millisecond, Max: time.Minute, MaxAttempts: 5},
		Timeout: 2 * time.Minute,
	})
	if err != nil {
		return err
	}
	source, err := mux.OpenSource(ctx, o.queue, &drivers.Options{Logger: log})
	if err != nil {
		return err
	}
	t.deadLetters = source.Capabilities().DeadLetterQueue
	c, err := consumer.New(source, stack.Handler(h), &consumer.Config{
		Concurrency: o.concurrency, UntilEmpty: !o.worker, Observers: []handler.Observer{t}, Gates: stack.Gates(), Logger: log,
	})
	if err != nil {
		return errors.Join(err, source.Close())
	}
	return c.Run(ctx)
}

// closing closes c and adds what went wrong to the caller's error.
func closing(c io.Closer, err *error) { *err = errors.Join(*err, c.Close()) }
