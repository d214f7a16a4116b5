// Command everywhere runs one handler, package invoice, in every runtime that
// Sluice has, with the same messages, and prints what came of it. All servers
// are in this process or child processes of it:
//
//	go run ./examples/everywhere
//
// With -sqs URL the SQS queues are made there, on LocalStack for instance; with
// -nats URL the handler runs on a NATS server too, by way of gocloud.dev:
//
//	go run ./examples/everywhere -sqs http://127.0.0.1:4566 -nats nats://127.0.0.1:4222
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process
	if queue := os.Getenv(envQueue); queue != "" {
		err := function(ctx, queue, os.Getenv(envDir))
		_, _ = fmt.Fprintln(os.Stderr, "everywhere: function:", err)
		os.Exit(1)
	}
	err := dispatch(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		_, _ = fmt.Fprintln(os.Stderr, "everywhere:", err) // nobody else would report it
		os.Exit(1)
	}
}

// errUsage is a fault of the arguments, which package flag has reported.
var errUsage = errors.New("wrong usage")

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var on servers
	var only string
	var verbose bool
	f := flag.NewFlagSet("everywhere", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&on.sqs, "sqs", "", "endpoint `URL` of an SQS server (default: one in this process)")
	f.StringVar(&on.nats, "nats", "", "`URL` of a NATS server (default: none)")
	f.StringVar(&only, "only", "", "run only the runtime of this `NAME`")
	f.BoolVar(&verbose, "v", false, "log what the runtimes do")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return errUsage
	}
	level := slog.LevelError
	if verbose {
		level = slog.LevelInfo
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	results, err := runAll(ctx, runtimes(on), only, log)
	if err != nil {
		return err
	}
	if err := table(stdout, results); err != nil {
		return err
	}
	return same(results)
}
