package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
)

// sendFlags are what a message is made of.
type sendFlags struct {
	body, file string
	lines      bool
	attributes []string
	group      string
	dedupeID   string
	delay      time.Duration
	trace      bool
	claim      string
}

func (a *app) sendCommand() *cobra.Command {
	var f sendFlags
	c := &cobra.Command{
		Use:   "send QUEUE [--body S | --file F | --lines]",
		Short: "Send a message, or one a line of stdin",
		Long: `Sends one message and prints its ID. The body is --body, the content of --file,
or else all of stdin, byte for byte.

With --lines every line of stdin becomes a message, without its line feed, or
carriage return and line feed if the first line ends so. Blank lines and a byte
order mark are left out. Lines are sent in batches as they arrive, and the ID of each
is printed in order. If a line cannot be sent, the command reports its number, sends
the others and exits with status 1.`,
		Example: `  sluice send orders --body '{"id": 7}' --attr tenant=acme
  sluice send awssqs:///orders.fifo --group customer-1 --file order.json
  sluice send orders --lines < orders.ndjson`,
		Args:              a.queueArgs(1),
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.send(cmd, args[0], &f)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.body, "body", "", "the body")
	fl.StringVar(&f.file, "file", "", "`FILE` with the body")
	fl.BoolVar(&f.lines, "lines", false, "send every line of stdin as a message")
	fl.StringArrayVar(&f.attributes, "attr", nil, "attribute as `NAME=VALUE`; repeatable")
	fl.StringVar(&f.group, "group", "", "`GROUP` within which messages are handled in order")
	fl.StringVar(&f.dedupeID, "dedupe-id", "", "the message's own `ID`: a second message with it is a duplicate")
	durationVar(fl, &f.delay, "delay", "how long the message stays invisible, such as 5s")
	fl.BoolVar(&f.trace, "trace", false, "add a traceparent: a child of $TRACEPARENT, or the root of a new trace")
	claimVar(fl, &f.claim, "keep a body that is too large for many queues, from 240 KiB on,")
	return c
}

func (a *app) send(cmd *cobra.Command, queue string, f *sendFlags) (err error) {
	attributes, err := parseAttributes(f.attributes)
	if err != nil {
		return err
	}
	given := 0
	for _, name := range []string{"body", "file", "lines"} {
		if cmd.Flags().Changed(name) {
			given++
		}
	}
	switch {
	case given > 1:
		return usage("send: --body, --file and --lines exclude each other")
	case f.lines && f.dedupeID != "":
		return usage("send: --dedupe-id with --lines would make each line a duplicate of the first")
	case f.delay < 0:
		return usage("send: --delay %v is below zero", f.delay)
	}
	template := handler.Message{Attributes: attributes, Group: f.group, DedupeID: f.dedupeID, Delay: f.delay}

	if f.lines {
		return a.open(cmd.Context(), queue, f, func(p *producer.Producer, stopAtFailure bool) error {
			return a.sendLines(cmd.Context(), p, &template, stopAtFailure)
		})
	}
	// The body first: nothing is opened for one that cannot be read.
	if template.Body, err = a.body(cmd, f); err != nil {
		return err
	}
	return a.open(cmd.Context(), queue, f, func(p *producer.Producer, _ bool) error {
		if err := p.Send(cmd.Context(), &template); err != nil {
			return sendFault(err)
		}
		return a.printID(template.ID)
	})
}

// open runs do with a producer for the queue. stopAtFailure is true if a
// message must not be sent after one before it has failed.
func (a *app) open(ctx context.Context, queue string, f *sendFlags, do func(p *producer.Producer, stopAtFailure bool) error) (err error) {
	_, sink, err := a.sink(ctx, queue)
	if err != nil {
		return err
	}
	traces, err := newTracer(ctx, a, f.trace, sink.Capabilities())
	if err != nil {
		return errors.Join(err, sink.Close())
	}
	defer traces.close()
	large, err := newClaims(ctx, "send", f.claim)
	if err != nil {
		return errors.Join(err, sink.Close())
	}
	defer closing(large, &err)
	p, err := producer.New(sink, &producer.Config{Prepare: large.prepare(traces.prepare()), Send: traces.send, Logger: a.log})
	if err != nil {
		return errors.Join(err, sink.Close())
	}
	defer closing(p, &err)
	return do(p, f.group != "" && sink.Capabilities().Ordered)
}

// body reads the body of a single message.
func (a *app) body(cmd *cobra.Command, f *sendFlags) ([]byte, error) {
	switch {
	case cmd.Flags().Changed("body"):
		return []byte(f.body), nil
	case cmd.Flags().Changed("file"):
		content, err := os.ReadFile(f.file)
		if err != nil {
			return nil, usage("send: --file: %w", err)
		}
		return content, nil
	default:
		return readAll(cmd.Context(), a.in)
	}
}

// parseAttributes reads NAME=VALUE. A value may have any characters, and be
// empty.
func parseAttributes(pairs []string) (map[string]string, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	attributes := make(map[string]string, len(pairs))
	for _, p := range pairs {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, usage("--attr %q is not NAME=VALUE", p)
		}
		if _, twice := attributes[name]; twice {
			return nil, usage("--attr %s is given twice", name)
		}
		attributes[name] = value
	}
	return attributes, nil
}

func (a *app) printID(id string) error {
	if a.asJSON() {
		return a.printJSON(struct {
			ID string `json:"id"`
		}{id})
	}
	return a.printf("%s\n", id)
}

// sendFault returns the one failure of a message that was sent alone, without
// the count that a SendError begins with.
func sendFault(err error) error {
	var many *producer.SendError
	if errors.As(err, &many) && len(many.Failed) == 1 && many.Sent == 0 {
		return many.Failed[0].Err
	}
	return err
}

// durationValue is a flag that takes days and weeks as the configuration does.
type durationValue struct{ d *time.Duration }

func (v durationValue) String() string {
	if v.d == nil || *v.d == 0 {
		return "" // so that help shows no default
	}
	return config.FormatDuration(*v.d)
}

func (v durationValue) Set(s string) error {
	d, err := config.ParseDuration(s)
	if err != nil {
		return err
	}
	*v.d = d
	return nil
}

func (durationValue) Type() string { return "DURATION" }

// lineError names the line that a failure is about.
func lineError(line int, err error) error { return fmt.Errorf("line %d: %w", line, err) }
